package cluster

import (
	"fmt"
	"testing"

	"fairlead.dev/fairlead/internal/liveapi"
)

// Breakers that reject calls come before those of dry runs, the open ones first among each.
func TestBreakersThatRejectComeFirst(t *testing.T) {
	b := func(state string, dryRun bool) liveapi.Breaker {
		return liveapi.Breaker{Destination: "d:80", State: state, DryRun: dryRun, Opened: 1}
	}
	never := liveapi.Breaker{Destination: "d:80", State: closed}
	out, others := mergeBreakers([]liveapi.List[liveapi.Breaker]{
		{Node: "a", Items: []liveapi.Breaker{b(open, true), b(closed, false), never}}, {Node: "b", Items: []liveapi.Breaker{b(halfOpen, false), b(open, false), {Destination: "other:80", State: open}}},
	}, "d:80")
	var got []string
	for _, o := range out {
		got = append(got, fmt.Sprint(o.Node, " ", o.State, " ", o.DryRun))
	}
	if want := "[b open false b half_open false a closed false a open true]"; fmt.Sprint(got) != want || others != 1 {
		t.Errorf("%v and %d others, want %s", got, others, want)
	}
}
