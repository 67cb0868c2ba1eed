package routes

import (
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// maxVerdicts bounds the verdicts that are kept for breakers that no call has asked for yet.
const maxVerdicts = 4096

// sharedBreaker is one that the cluster shares.
type sharedBreaker struct {
	key     policy.BreakerKey
	breaker *resilience.Breaker
}

// verdicts are the manager's decisions on breakers that the cluster shares, for those that are made later. They are guarded by Table.mu.
type verdicts map[policy.BreakerKey]verdict

type verdict struct {
	policy.BreakerVerdict
	at time.Time
}

// keep keeps v for breakers that are made later.
func (s verdicts) keep(now time.Time, v policy.BreakerVerdict) {
	if v.Order == policy.BreakerClose {
		delete(s, v.Key)
		return
	}
	if _, known := s[v.Key]; !known && len(s) >= maxVerdicts {
		maps.DeleteFunc(s, func(_ policy.BreakerKey, old verdict) bool { return old.over(now) })
		if len(s) >= maxVerdicts {
			return // a breaker that is made later goes by what the node sees
		}
	}
	s[v.Key] = verdict{v, now}
}

func (v *verdict) over(now time.Time) bool { return now.Sub(v.at) > v.For+v.Hold }

// obey has a breaker that was just made do what was decided before.
func (s verdicts) obey(now time.Time, k policy.BreakerKey, br *resilience.Breaker) {
	v, known := s[k]
	if !known || v.over(now) {
		return
	}
	if v.Order == policy.BreakerOpen {
		v.For = max(0, v.For-now.Sub(v.at))
	}
	br.Obey(now, v.BreakerVerdict)
}

// sharedKey names a breaker of a state to the cluster.
func (st *state) sharedKey(k breakerKey) policy.BreakerKey {
	return policy.BreakerKey{Binding: st.key.binding, Destination: st.key.destination, Rule: k.rule, Opaque: k.opaque}
}

// BreakerReports says how the node sees the destinations of breakers that the cluster shares. Where a destination is called in two ways at
// the moment, under the versions before and after an edit, the worse view counts.
func (s *Table) BreakerReports(now time.Time) []policy.BreakerReport {
	worst := map[policy.BreakerKey]policy.BreakerReport{}
	for _, b := range s.sharedBreakers(nil) {
		view, number, shared := b.breaker.View(now)
		if old, known := worst[b.key]; shared && (!known || view > old.View) {
			worst[b.key] = policy.BreakerReport{Key: b.key, View: view, Number: number}
		}
	}
	return slices.Collect(maps.Values(worst))
}

// sharedBreakers lists breakers that the nodes share, or those of one key.
func (s *Table) sharedBreakers(of *policy.BreakerKey) (out []sharedBreaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of != nil {
		for _, st := range s.states.all[of.Binding] {
			if br := st.breakers[breakerKey{rule: of.Rule, opaque: of.Opaque}]; br != nil && st.key.destination == of.Destination {
				out = append(out, sharedBreaker{*of, br})
			}
		}
		return out
	}
	for _, all := range s.states.all {
		for _, st := range all {
			for k, br := range st.breakers {
				if k.pod == "" && br.Shared() {
					out = append(out, sharedBreaker{st.sharedKey(k), br})
				}
			}
		}
	}
	return out
}

// ObeyBreakers puts the manager's decisions in force.
func (s *Table) ObeyBreakers(now time.Time, list []policy.BreakerVerdict) {
	for _, v := range list {
		s.mu.Lock()
		s.verdicts.keep(now, v)
		s.mu.Unlock()
		for _, b := range s.sharedBreakers(&v.Key) {
			b.breaker.Obey(now, v)
		}
	}
}

// ReleaseBreakers has breakers that the cluster shares go by what the node sees alone, until the manager is heard of again.
func (s *Table) ReleaseBreakers() {
	s.mu.Lock()
	clear(s.verdicts)
	s.mu.Unlock()
	for _, b := range s.sharedBreakers(nil) {
		b.breaker.Release()
	}
}
