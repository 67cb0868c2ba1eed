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
	quiet := liveapi.Breaker{Destination: "d:80", State: closed}
	out, never, leftOut := mergeBreakers([]liveapi.List[liveapi.Breaker]{
		{Node: "a", Items: []liveapi.Breaker{b(open, true), b(closed, false), quiet}}, {Node: "b", Items: []liveapi.Breaker{b(halfOpen, false), b(open, false), {Destination: "other:80", State: open}}},
	}, "d:80")
	var got []string
	for _, o := range out {
		got = append(got, fmt.Sprint(o.Node, " ", o.State, " ", o.DryRun))
	}
	if want := "[b open false b half_open false a closed false a open true]"; fmt.Sprint(got) != want || never != 1 || leftOut != 0 {
		t.Errorf("%v, %d that were never open, %d left out, want %s", got, never, leftOut, want)
	}
}

// Breakers that reject nothing are not counted as closed ones, and neither are those beyond what a page shows: these may be open.
func TestOnlyClosedBreakersThatMayRejectAreCounted(t *testing.T) {
	var all []liveapi.Breaker
	for range maxBreakers + 3 {
		all = append(all, liveapi.Breaker{Destination: "d:80", State: open, DryRun: true}, liveapi.Breaker{Destination: "d:80", State: closed, DryRun: true})
	}
	out, never, leftOut := mergeBreakers([]liveapi.List[liveapi.Breaker]{{Node: "a", Items: all}}, "d:80")
	if len(out) != maxBreakers || never != 0 || leftOut != 3 {
		t.Errorf("%d breakers, %d that were never open, %d left out", len(out), never, leftOut)
	}
}
