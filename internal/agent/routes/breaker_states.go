package routes

import (
	"cmp"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// BreakerState is how the breaker of a whole destination stands, for whoever looks into an agent.
type BreakerState struct {
	Policy              policy.ID
	Target, Destination string
	// Rule and Pod say whose calls feed and obey the breaker, if not all, and Opaque that they are connections that are passed through.
	Rule, Pod string
	Opaque    bool
	// Shadow: it is a dry run's, and rejects nothing.
	Shadow bool
	resilience.Status
	OpenedBy resilience.OpenedBy
}

// Breakers returns the states of all breakers of whole destinations, ordered.
func (s *Table) Breakers(now time.Time) []BreakerState {
	all, breakers := s.breakers()
	for i, br := range breakers {
		all[i].Status, all[i].OpenedBy = br.Status(now), br.OpenedBy(now)
	}
	slices.SortFunc(all, func(a, b BreakerState) int {
		return cmp.Or(cmp.Compare(a.Policy.String(), b.Policy.String()), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Destination, b.Destination),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// breakers lists what there is, without looking into it: calls wait for the lock.
func (s *Table) breakers() (all []BreakerState, breakers []*resilience.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for binding, states := range s.states.all {
		of := s.bindings[binding]
		if len(of) == 0 {
			continue // removed just now
		}
		b := of[0]
		for k, st := range states {
			for at, br := range st.breakers {
				all = append(all, BreakerState{
					Policy: b.ID(), Target: b.source.To.String(), Destination: k.destination,
					Rule: at.rule, Pod: at.pod, Opaque: at.opaque, Shadow: k.shadow,
				})
				breakers = append(breakers, br)
			}
		}
	}
	return all, breakers
}
