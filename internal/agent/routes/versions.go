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

// find returns the settings that say what something kept for a rule goes by, and whose they are: those of the base for an empty rule, which is the
// base and all rules that keep none of their own. Without any it returns empty settings, which are nobody's. keeps says of settings whether they
// keep one of their own, and have one.
func (v versions) find(rule string, keeps func(*settings) (own, has bool)) (*Binding, *policy.Settings) {
	for _, b := range v {
		if rule == "" {
			if _, has := keeps(&b.base); has {
				return b, b.base.values
			}
			continue
		}
		for i := range b.rules {
			r := &b.rules[i]
			if own, has := keeps(r); own && has && r.name == rule {
				return b, r.values
			}
		}
	}
	return nil, &policy.Settings{}
}

// breaker returns what a breaker kept for a rule goes by, or nil if there is none any more, and how long an attempt may take that it
// judges.
func (v versions) breaker(rule string) (*policy.Breaker, time.Duration) {
	b, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownBreaker, s.values.Breaker != nil })
	if b != nil && rule == "" {
		return s.Breaker, b.tryLimit()
	}
	return s.Breaker, s.Timeouts.AttemptLimit()
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
	b, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownBudget, true })
	if b == nil {
		return nil
	}
	return &s.Retry.Budget
}

// adaptive returns what an adaptive timeout kept for a rule goes by; one that is off if there is none any more.
func (v versions) adaptive(rule string) policy.Adaptive {
	_, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownAdaptive, s.values.Timeouts.Adaptive.On() })
	return s.Timeouts.Adaptive
}

// hedging returns what hedging goes by that is kept for a rule; the zero value if there is none any more.
func (v versions) hedging(rule string) policy.Hedging {
	_, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownHedging, s.values.Retry.Hedging.Percentile > 0 })
	return s.Retry.Hedging
}

// rateLimit returns what a rate limit kept for a rule goes by, or nil if there is none any more.
func (v versions) rateLimit(rule string) *policy.RateLimit {
	_, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownRateLimit, s.values.RateLimit != nil })
	return s.RateLimit
}

// concurrency returns what a limit of concurrency kept for a rule goes by, or nil if there is none any more.
func (v versions) concurrency(rule string) *policy.Concurrency {
	_, s := v.find(rule, func(s *settings) (own, has bool) { return s.ownConcurrency, s.values.Concurrency != nil })
	return s.Concurrency
}
