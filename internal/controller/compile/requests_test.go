package compile

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"fairlead.dev/fairlead/api/v1alpha1"
)

type enforcementCase = struct {
	give Source
	want []UnenforcedField
}

// connectionsAreCalls has fields of every kind, and destinations with and without requests.
func connectionsAreCalls() enforcementCase {
	small := resource.MustParse("1Ki")
	body := &v1alpha1.PolicyBody{
		Rules: []v1alpha1.Rule{{Name: "charge", Match: []v1alpha1.CallMatch{{Methods: []string{"POST"}}},
			CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{MaxRetries: i32(0)}}}},
		CallBlocks: v1alpha1.CallBlocks{
			Timeouts: &v1alpha1.Timeouts{Connect: "1s", ResponseHeader: "1s"},
			Retry:    &v1alpha1.Retry{MaxRetries: i32(1), StatusCodes: []v1alpha1.StatusCode{"503"}, Body: &v1alpha1.ReplayBody{MaxBytes: &small}},
		},
		ConnectionPool: &v1alpha1.ConnectionPool{MaxConnections: i32(3), MaxIdlePerEndpoint: i32(1)},
	}
	fields := []string{"rules", "timeouts.responseHeader", "retry.statusCodes", "retry.body", "connectionPool.maxIdlePerEndpoint"}
	var want []UnenforcedField
	for i, reason := range map[int]string{1: v1alpha1.ReasonOpaqueProtocol, 2: v1alpha1.ReasonEncrypted} {
		for _, f := range fields {
			want = append(want, UnenforcedField{f, reason, i})
		}
	}
	slices.SortStableFunc(want, func(a, b UnenforcedField) int { return a.Target - b.Target })
	return enforcementCase{
		give: Source{Level: LevelPods, Body: body, To: []v1alpha1.Destination{
			{Any: &v1alpha1.AnyDestination{}, Protocol: v1alpha1.ProtocolHTTP},
			{CIDR: &v1alpha1.CIDRDestination{Block: "10.0.0.0/8", Protocol: v1alpha1.ProtocolTCP}},
			{Host: "a.example", Protocol: v1alpha1.ProtocolTLS},
		}},
		want: want,
	}
}

func TestRequestFieldsAreEnforcedOnes(t *testing.T) {
	for _, entry := range requestFields {
		if !slices.ContainsFunc(Fields(), func(f Field) bool { return f.Requests && f.Enforced && underEntry(f.Path, entry) }) {
			t.Errorf("%s is listed as one about requests, and is no enforced field", entry)
		}
	}
}

func underEntry(path, entry string) bool {
	e, ok := requestField(path)
	return ok && e == entry
}
