package routes

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// LimitState is how a limit on calls to one concrete destination stands, for whoever looks into an agent.
type LimitState struct {
	Policy              policy.ID
	Target, Destination string
	// Rule and Pod say whose calls it is for, if not all.
	Rule, Pod string
	Scope     policy.Sharing
	// Rate: Max and Here are calls per second; else calls at once. Max is the limit as the policies have it, of the cluster where that shares it, and
	// Here what is in force on the node.
	Rate      bool
	Max, Here float64
	Adaptive  bool
	// Running are the calls under way, of a limit of calls at once; Waiting those that wait.
	Running, Waiting int
}

// Limits returns the states of all limits that calls have come to, ordered. Those of dry runs are not among them.
func (s *Table) Limits() []LimitState {
	all, rates, places := s.limits()
	for i := range all {
		if l := rates[i]; l != nil {
			all[i].Waiting = l.Waiting()
			continue
		}
		st := places[i].Status()
		all[i].Here, all[i].Running, all[i].Waiting = float64(st.Limit), st.Running, st.Waiting
	}
	slices.SortFunc(all, func(a, b LimitState) int {
		return cmp.Or(cmp.Compare(a.Policy.String(), b.Policy.String()), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Destination, b.Destination),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Pod, b.Pod), -compareBool(a.Rate, b.Rate))
	})
	return all
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// limits lists what there is, without looking into it: calls wait for the lock. Of each, one of the latter two is not nil.
func (s *Table) limits() (all []LimitState, rates []*resilience.RateLimit, places []*resilience.Concurrency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for binding, states := range s.states.all {
		of := s.bindings[binding]
		if len(of) == 0 {
			continue // removed just now
		}
		for key, st := range states {
			if key.shadow {
				continue
			}
			is := LimitState{Policy: of[0].ID(), Target: of[0].source.To.String(), Destination: key.destination}
			for k, l := range st.limits.rates.all {
				if cfg := of.rateLimit(k.rule); cfg != nil {
					all, rates, places = append(all, s.rateState(is, k, l, cfg)), append(rates, l.RateLimit), append(places, nil)
				}
			}
			for k, c := range st.limits.concurrencies.all {
				if cfg := of.concurrency(k.rule); cfg != nil {
					all, rates, places = append(all, is.place(k, cfg)), append(rates, nil), append(places, c)
				}
			}
		}
	}
	return all, rates, places
}

// rateState completes the state of a limit on calls per time. It expects the lock.
func (s *Table) rateState(is LimitState, k limitKey, l rateLimit, cfg *policy.RateLimit) LimitState {
	is.Rule, is.Pod, is.Scope, is.Rate, is.Max = k.rule, k.pod, cfg.Scope, true, cfg.Share().Rate
	is.Here = is.Max
	if shared := s.shared.all[l.shared]; shared != nil {
		is.Here = shared.share.Rate
	}
	return is
}

// place begins the state of a limit on calls at once.
func (is LimitState) place(k limitKey, cfg *policy.Concurrency) LimitState {
	is.Rule, is.Pod, is.Scope, is.Max = k.rule, k.pod, cfg.Scope, float64(cfg.Max)
	if cfg.Adaptive != nil {
		is.Adaptive, is.Max = true, float64(cfg.Adaptive.Max)
	}
	return is
}
