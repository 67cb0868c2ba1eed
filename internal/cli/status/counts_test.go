package status

import (
	"testing"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// A breaker that is open when nobody calls any more is open.
func TestBreakersAreCountedWithoutCalls(t *testing.T) {
	var got Counts
	for _, traffic := range []*v1alpha1.TrafficStatus{
		nil, {BreakersOpen: 2}, {Requests: 9, Success: "50%", BreakersOpen: 1}, {Requests: 1, Success: "100%"},
	} {
		p := kube.Namespaced(&v1alpha1.RetryPolicy{})
		p.Status.Traffic = traffic
		got.add(&p)
	}
	if got.BreakersOpen != 2 || got.Calling != 2 || got.LeastSuccess != "50%" {
		t.Errorf("%+v", got)
	}
}
