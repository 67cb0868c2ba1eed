package distribute

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/policy"
)

// A breaker whose agent has gone is neither open nor closed until an agent of its node reports.
func TestBreakersOfAnAgentThatHasGoneAreLostUntilItsNodeReports(t *testing.T) {
	other := agentID{node: "n1", agent: "its successor"}
	for name, tc := range map[string]struct {
		next     func(s *Store) // after the agent has gone
		want     Breakers
		announce bool
	}{
		"nobody comes": {func(*Store) {}, Breakers{Lost: 2}, false},
		"another node reports": {func(s *Store) {
			s.observe(agentOf("n2"), report(1))
		}, Breakers{Lost: 2}, false},
		"it comes back, and they are closed": {func(s *Store) {
			s.traffic.streamStarted(agentOf("n1"))
			s.observe(agentOf("n1"), report(2))
		}, Breakers{Closings: 1}, true},
		"it comes back, and they are still open": {func(s *Store) {
			s.traffic.streamStarted(agentOf("n1"))
			s.observe(agentOf("n1"), report(2, breakers(2, 0, time.Second)))
		}, Breakers{Open: 2}, true},
		"it comes back, and they close later": {func(s *Store) {
			s.traffic.streamStarted(agentOf("n1"))
			s.observe(agentOf("n1"), report(2, breakers(2, 0, time.Second)))
			s.observe(agentOf("n1"), report(3, calls("cart", 1)))
		}, Breakers{Closings: 1}, true},
		"its successor reports": {func(s *Store) {
			s.traffic.streamStarted(other)
			s.observe(other, report(1))
		}, Breakers{Closings: 1}, true},
		"its successor has not reported yet": {func(s *Store) {
			s.traffic.streamStarted(other)
		}, Breakers{Lost: 2}, false},
		"nobody comes for a long time": {func(s *Store) {
			time.Sleep(3 * Window)
			s.sweep(time.Now())
		}, Breakers{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := trafficStore(t)
				s.observe(agentOf("n1"), report(1, breakers(2, 0, time.Second)))
				s.changed.take()
				s.markPoliciesChanged("n1", s.traffic.streamEnded(agentOf("n1"), time.Now()))
				if got := s.changed.take(); !slices.Contains(got, "p") {
					t.Errorf("announced %v when the agent went", got)
				}
				tc.next(s)
				got := s.Traffic(payments).Breakers
				if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Breakers{}, "For")); diff != "" {
					t.Error(diff)
				}
				if got := slices.Contains(s.changed.take(), "p"); got != tc.announce {
					t.Errorf("announced %t afterwards, want %t", got, tc.announce)
				}
				for _, n := range s.traffic.nodes {
					if tc.want.Lost == 0 && len(n.lost) > 0 {
						t.Errorf("%d destinations with lost breakers are remembered", len(n.lost))
					}
				}
			})
		})
	}
}

func TestBreakersThatAReportDoesNotNameAnyMoreAreClosed(t *testing.T) {
	s := trafficStore(t)
	for i, step := range []struct {
		give []policy.Traffic
		want uint64
	}{
		{[]policy.Traffic{breakers(1, 0, time.Second)}, 0},
		{[]policy.Traffic{breakers(0, 1, time.Second)}, 0},
		{[]policy.Traffic{calls("cart", 1)}, 1},
		{[]policy.Traffic{breakers(1, 0, time.Second)}, 1},
		{nil, 2},
		{nil, 2},
	} {
		s.observe(agentOf("n1"), report(uint64(i+1), step.give...))
		if got := s.Traffic(payments).Breakers.Closings; got != step.want {
			t.Errorf("step %d: %d closings, want %d", i, got, step.want)
		}
	}
}
