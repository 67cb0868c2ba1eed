package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Stats is how things stand at one destination, for metrics and reports.
type Stats struct {
	Policy      policy.ID
	Target      string
	Destination string
	// BreakersOpen counts breakers that reject calls or probe the upstream; BreakersHalfOpen those of them that probe it. One whose
	// open time is over and which nobody asks any more is among neither.
	BreakersOpen, BreakersHalfOpen int
	Breakers                       []resilience.Status
	Pool                           upstream.Stats // of all pods together
}

// Stats calls f for every destination that has state.
func (s *Table) Stats(now time.Time, f func(Stats)) {
	for _, v := range s.stats(now) {
		f(v)
	}
}

func (s *Table) stats(now time.Time) []Stats {
	out, at, breakers := s.list()
	for i := range out {
		for _, br := range breakers[i] {
			out[i].add(br.Status(now))
		}
	}
	s.pools.Each(func(k upstream.Key, g upstream.Stats) {
		if i, ok := at[stateKey{k.Binding, k.Destination, k.Way}]; ok {
			p := &out[i].Pool
			p.Active, p.Idle, p.Waiting = p.Active+g.Active, p.Idle+g.Idle, p.Waiting+g.Waiting
		}
	})
	return out
}

// list lists what there is, without looking into it: calls wait for the lock.
func (s *Table) list() (out []Stats, at map[stateKey]int, breakers [][]*resilience.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at = map[stateKey]int{}
	for binding, all := range s.states.all {
		of := s.bindings[binding]
		if len(of) == 0 {
			continue // removed just now
		}
		b := of[0]
		target := b.source.To.String()
		for k, st := range all {
			var brs []*resilience.Breaker
			for _, br := range st.breakers {
				brs = append(brs, br)
			}
			at[k] = len(out)
			out = append(out, Stats{Policy: b.ID(), Target: target, Destination: k.destination})
			breakers = append(breakers, brs)
		}
	}
	return out, at, breakers
}

func (v *Stats) add(status resilience.Status) {
	v.Breakers = append(v.Breakers, status)
	switch status.State {
	case resilience.Closed:
	case resilience.HalfOpen:
		v.BreakersHalfOpen++
		v.BreakersOpen++
	case resilience.Open:
		v.BreakersOpen++
	}
}
