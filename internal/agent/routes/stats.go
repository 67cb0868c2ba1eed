package routes

import (
	"maps"
	"net/netip"
	"slices"
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
	// Shadow says that this is what a dry run keeps: only its breakers say anything.
	Shadow bool
	// BreakersOpen counts breakers that reject calls or probe the upstream; BreakersHalfOpen those of them that probe it. One whose
	// open time is over and which nobody asks any more is among neither.
	BreakersOpen, BreakersHalfOpen int
	Breakers                       []resilience.Status
	// Ejected counts the endpoints that breakers of their own keep out. Ejections counts how often one was put out, by why, and EjectionsPrevented the
	// results for which one would have been that had to stay.
	Ejected            int
	Ejections          [resilience.CauseCount]uint64
	EjectionsPrevented uint64
	// LimitWaiting counts the calls that wait for a rate limit, or for a place below a limit of concurrency.
	LimitWaiting int
	// Share is how many calls may start in a second by the node's parts of rate limits that the cluster shares; Shared says that there are any.
	Share  float64
	Shared bool
	// Running counts the calls that have a place below a limit of concurrency, and Places how many there are.
	Running, Places int
	// AttemptTimeout is how long attempts may take at present by timeouts.adaptive; the longest, where rules have their own; 0: none says so.
	AttemptTimeout time.Duration
	Pool           upstream.Stats // of all pods together
}

// Stats calls f for every destination that has state.
func (s *Table) Stats(now time.Time, f func(Stats)) {
	for _, v := range s.stats(now) {
		f(v)
	}
}

func (s *Table) stats(now time.Time) []Stats {
	out, at, kept := s.list()
	for i := range out {
		for _, br := range kept[i].breakers {
			out[i].add(br.Status(now))
		}
		out[i].addEndpoints(now, kept[i].endpoints)
		for _, l := range kept[i].rates {
			out[i].LimitWaiting += l.Waiting()
		}
		for _, c := range kept[i].concurrencies {
			is := c.Status()
			out[i].LimitWaiting += is.Waiting
			out[i].Running += is.Running
			out[i].Places += is.Limit
		}
	}
	s.pools.Each(func(k upstream.Key, g upstream.Stats) {
		if i, ok := at[stateKey{binding: k.Binding, destination: k.Destination, way: k.Way}]; ok {
			p := &out[i].Pool
			p.Active, p.Idle, p.Waiting = p.Active+g.Active, p.Idle+g.Idle, p.Waiting+g.Waiting
		}
	})
	return out
}

// instruments are what a state keeps that tells of itself.
type instruments struct {
	breakers      []*resilience.Breaker
	endpoints     []*resilience.Endpoints
	rates         []*resilience.RateLimit
	concurrencies []*resilience.Concurrency
}

// list lists what there is, without looking into it: calls wait for the lock.
func (s *Table) list() (out []Stats, at map[stateKey]int, kept []instruments) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at = map[stateKey]int{}
	seen := map[*resilience.RateLimit]bool{} // limits that the cluster shares count for one binding
	for binding, all := range s.states.all {
		of := s.bindings[binding]
		if len(of) == 0 {
			continue // removed just now
		}
		b := of[0]
		target := b.source.To.String()
		for k, st := range all {
			has := instruments{
				breakers:      slices.Collect(maps.Values(st.breakers)),
				endpoints:     slices.Collect(maps.Values(st.endpoints)),
				concurrencies: slices.Collect(maps.Values(st.limits.concurrencies.all)),
			}
			v := Stats{Policy: b.ID(), Target: target, Destination: k.destination, Shadow: k.shadow, AttemptTimeout: st.attemptTimeout()}
			for _, r := range st.limits.rates.all {
				if seen[r.RateLimit] {
					continue
				}
				seen[r.RateLimit] = true
				has.rates = append(has.rates, r.RateLimit)
				if l := s.shared.all[r.shared]; l != nil {
					v.Share, v.Shared = v.Share+l.share.Rate, true
				}
			}
			at[k] = len(out)
			out = append(out, v)
			kept = append(kept, has)
		}
	}
	return out, at, kept
}

// attemptTimeout is the longest that attempts of requests may take by what is known of them.
func (st *state) attemptTimeout() (longest time.Duration) {
	for k, a := range st.adaptive {
		if !k.opaque {
			longest = max(longest, a.Limit())
		}
	}
	return longest
}

// addEndpoints adds what those tell who judge the destination's endpoints. One that several keep out is one.
func (v *Stats) addEndpoints(now time.Time, all []*resilience.Endpoints) {
	var out []netip.AddrPort
	for _, es := range all {
		status := es.Status(now)
		for _, ep := range status.Used {
			if ep.State != resilience.Closed && !slices.Contains(out, ep.Addr) {
				out = append(out, ep.Addr)
			}
		}
		for why, n := range status.Ejections {
			v.Ejections[why] += n
		}
		v.EjectionsPrevented += status.Prevented
	}
	v.Ejected = len(out)
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
