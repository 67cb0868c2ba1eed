package compile

import (
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/api/v1alpha1"
)

func TestWarningsAboutRollouts(t *testing.T) {
	tls := v1alpha1.Destination{Host: "a.example"}
	clear := v1alpha1.Destination{Host: "a.example", Ports: []int32{80}}
	intercepted := v1alpha1.Destination{Host: "a.example", Ports: []int32{443}, TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept}}
	opaque := v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: "10.0.0.0/8", Protocol: v1alpha1.ProtocolTCP}}
	for name, tc := range map[string]struct {
		to   []v1alpha1.Destination
		give *v1alpha1.Rollout
		want bool
	}{
		"nothing is seen of any call":    {[]v1alpha1.Destination{tls, opaque}, &v1alpha1.Rollout{Percent: 10}, true},
		"of some calls it is":            {[]v1alpha1.Destination{tls, clear}, &v1alpha1.Rollout{Percent: 10}, false},
		"their TLS is ended":             {[]v1alpha1.Destination{intercepted}, &v1alpha1.Rollout{Percent: 10}, false},
		"no rollout":                     {[]v1alpha1.Destination{tls}, nil, false},
		"one that is not to judge calls": {[]v1alpha1.Destination{tls}, &v1alpha1.Rollout{Percent: 10, AbortOn: &v1alpha1.RolloutAbort{SuccessRateDropPercent: i32(100)}}, false},
		"one that is to":                 {[]v1alpha1.Destination{tls}, &v1alpha1.Rollout{Percent: 10, AbortOn: &v1alpha1.RolloutAbort{SuccessRateDropPercent: i32(5)}}, true},
	} {
		got := Warnings(&Source{To: tc.to, Body: &v1alpha1.PolicyBody{}, Rollout: tc.give})
		if is := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "rollout cannot judge a change of this policy") }); is != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestARolloutToOneNodeIsSaidToBeOne(t *testing.T) {
	for name, tc := range map[string]struct {
		give  *v1alpha1.Rollout
		nodes int
		want  bool
	}{
		"one node":                 {&v1alpha1.Rollout{Percent: 10}, 1, true},
		"two":                      {&v1alpha1.Rollout{Percent: 10}, 2, false},
		"none":                     {&v1alpha1.Rollout{Percent: 10}, 0, false},
		"one, and it is said":      {&v1alpha1.Rollout{Percent: 100}, 1, false},
		"one, without any rollout": {nil, 1, false},
	} {
		b := BoundsOf(&Source{Body: &v1alpha1.PolicyBody{}, Rollout: tc.give})
		if got := b.OneNode(tc.nodes); strings.HasPrefix(got, "rollout has one node to come to") != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
