package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
)

func TestUnenforcedFields(t *testing.T) {
	observability := &v1alpha1.Observability{Tracing: &v1alpha1.Tracing{SamplePercent: i32(1)}}
	opaque := []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}, Protocol: v1alpha1.ProtocolTCP}}
	tests := map[string]struct {
		give Source
		want []UnenforcedField
	}{
		"nothing set, nothing missing": {
			give: Source{To: []v1alpha1.Destination{{Service: &v1alpha1.ServiceDestination{Name: "a"}}}, Body: &v1alpha1.PolicyBody{}},
		},
		"a block about requests, where there are some": {
			give: Source{Level: LevelPods, Body: &v1alpha1.PolicyBody{Observability: observability}},
		},
		"and where there are none": {
			give: Source{Level: LevelPods, To: opaque, Body: &v1alpha1.PolicyBody{Observability: observability}},
			want: []UnenforcedField{{"to[0].protocol", v1alpha1.ReasonOpaqueProtocol, 0}, {"observability.tracing", v1alpha1.ReasonOpaqueProtocol, 0}},
		},
		"in a cluster policy, as users write it": {
			give: Source{Level: LevelOverrides, To: opaque, Body: &v1alpha1.PolicyBody{Observability: observability}},
			want: []UnenforcedField{{"to[0].protocol", v1alpha1.ReasonOpaqueProtocol, 0}, {"overrides.observability.tracing", v1alpha1.ReasonOpaqueProtocol, 0}},
		},
		"in a dry run, which changes no request": {
			give: Source{Level: LevelPods, Mode: v1alpha1.ModeDryRun, Body: &v1alpha1.PolicyBody{Observability: observability}},
			want: []UnenforcedField{{"observability.tracing", v1alpha1.ReasonNotInDryRun, -1}},
		},
		"destinations that are passed through": {
			give: Source{To: []v1alpha1.Destination{
				{Host: "a.example"},
				{Host: "a.example", Ports: []int32{80}},
				{Host: "a.example", Ports: []int32{443}, Protocol: v1alpha1.ProtocolHTTP, TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept}},
				{Host: "a.example", Ports: []int32{80}, Protocol: v1alpha1.ProtocolHTTP, TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate}},
				{CIDR: &v1alpha1.CIDRDestination{Block: "10.0.0.0/8", Protocol: v1alpha1.ProtocolTCP}},
				{Any: &v1alpha1.AnyDestination{}, Protocol: v1alpha1.ProtocolGRPC},
				{Any: &v1alpha1.AnyDestination{}, Ports: []int32{80, 443}},
				{CIDR: &v1alpha1.CIDRDestination{Block: "10.0.0.0/8", Ports: []int32{443}}},
				service("", "inventory", 443), service("", "inventory", "https"), service("", "inventory", 80),
			}},
			want: []UnenforcedField{
				{"to[0].host", v1alpha1.ReasonEncrypted, 0},
				{"to[4].cidr.protocol", v1alpha1.ReasonOpaqueProtocol, 4},
				{"to[6].ports", v1alpha1.ReasonEncrypted, 6},
				{"to[7].cidr.ports", v1alpha1.ReasonEncrypted, 7},
				{"to[8].service.port", v1alpha1.ReasonEncrypted, 8},
				{"to[9].service.port", v1alpha1.ReasonEncrypted, 9},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, UnenforcedFields(&tc.give)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDescribeUnenforcedGroupsByReason(t *testing.T) {
	got := DescribeUnenforced([]UnenforcedField{
		{"retry.hedging", v1alpha1.ReasonNotInDryRun, -1}, {"to[0].host", v1alpha1.ReasonEncrypted, 0},
		{"rateLimit", v1alpha1.ReasonNotInDryRun, -1}, {"rules", v1alpha1.ReasonEncrypted, 0},
		{"rules", v1alpha1.ReasonOpaqueProtocol, 2},
	})
	want := "Governed as whole connections where the calls are encrypted: to[0].host. Without effect where the calls are encrypted: rules. " +
		"A dry run cannot say what would come of retry.hedging, rateLimit. Without effect where there are no requests: rules."
	if got != want {
		t.Errorf("got %q", got)
	}
}

func i32(n int32) *int32 { return &n }
