package routes

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// versions are the bindings of one key that are in force on the node, the newest first. There is more than one when profiles share
// a binding and one of them could not be renewed: then the newest one's blocks govern what they share, and an older one's only
// where the newest has no such block.
type versions []*Binding

// rank sorts the profiles that pods use, the newest first. The order depends on nothing but the profiles.
func rank(tables map[string]*PodRoutes) []*profile {
	seen := map[*profile]bool{}
	var ranked []*profile
	for _, t := range tables {
		if !seen[t.profile] {
			seen[t.profile] = true
			ranked = append(ranked, t.profile)
		}
	}
	slices.SortFunc(ranked, func(a, b *profile) int {
		return cmp.Or(cmp.Compare(b.source.Generation, a.source.Generation), cmp.Compare(b.born, a.born), cmp.Compare(a.source.Name, b.source.Name))
	})
	return ranked
}

// byKey collects the bindings of ranked profiles.
func byKey(ranked []*profile) map[string]versions {
	all := map[string]versions{}
	for _, p := range ranked {
		for _, list := range [][]*Binding{p.bindings, p.dryRuns} {
			for _, b := range list {
				if !b.origin.Unchanged {
					all[b.Key()] = append(all[b.Key()], b)
				}
				for _, to := range b.backups {
					all[to.Key()] = append(all[to.Key()], to)
				}
			}
		}
	}
	return all
}

// breaker returns what a breaker kept for a rule goes by, or nil if there is none any more, and how long an attempt may take that it
// judges. An empty rule is the base and all rules without a breaker of their own.
func (v versions) breaker(rule string) (*policy.Breaker, time.Duration) {
	for _, b := range v {
		if rule == "" && b.base.values.Breaker != nil {
			return b.base.values.Breaker, b.tryLimit()
		}
		for i := range b.rules {
			if r := &b.rules[i]; rule != "" && r.name == rule && r.ownBreaker && r.values.Breaker != nil {
				return r.values.Breaker, r.values.Timeouts.AttemptLimit()
			}
		}
	}
	return nil, 0
}

// tryLimit returns how long an attempt may take of those that share the base's breaker.
func (b *Binding) tryLimit() time.Duration {
	limit := b.base.values.Timeouts.AttemptLimit()
	for i := range b.rules {
		if r := &b.rules[i]; !r.ownBreaker {
			limit = max(limit, r.values.Timeouts.AttemptLimit())
		}
	}
	return limit
}

// hosts returns how hosts are chosen at a destination, and which they are: as the newest version says that knows the destination.
func (v versions) hosts(destination string) (upstream.Balancing, []netip.AddrPort) {
	for _, b := range v {
		if endpoints, known := b.endpoints[destination]; known {
			return b.balancing(), endpoints
		}
	}
	return v[0].balancing(), nil
}

// budget returns what a budget kept for a rule goes by, or nil if there is none any more.
func (v versions) budget(rule string) *policy.Budget {
	for _, b := range v {
		if rule == "" {
			return &b.base.values.Retry.Budget
		}
		for i := range b.rules {
			if r := &b.rules[i]; r.name == rule && r.ownBudget {
				return &r.values.Retry.Budget
			}
		}
	}
	return nil
}

// adaptive returns what an adaptive timeout kept for a rule goes by; one that is off if there is none any more.
func (v versions) adaptive(rule string) policy.Adaptive {
	for _, b := range v {
		if a := b.base.values.Timeouts.Adaptive; rule == "" && a.On() {
			return a
		}
		for i := range b.rules {
			r := &b.rules[i]
			if a := r.values.Timeouts.Adaptive; rule != "" && r.name == rule && r.ownAdaptive && a.On() {
				return a
			}
		}
	}
	return policy.Adaptive{}
}

// hedging returns what hedging goes by that is kept for a rule; the zero value if there is none any more.
func (v versions) hedging(rule string) policy.Hedging {
	for _, b := range v {
		if h := b.base.values.Retry.Hedging; rule == "" && h.Percentile > 0 {
			return h
		}
		for i := range b.rules {
			r := &b.rules[i]
			if h := r.values.Retry.Hedging; rule != "" && r.name == rule && r.ownHedging && h.Percentile > 0 {
				return h
			}
		}
	}
	return policy.Hedging{}
}
