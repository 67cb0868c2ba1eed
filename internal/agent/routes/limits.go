package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// limits are those that a state keeps, and where pods come to them. Like the state they are guarded by Table.mu.
type limits struct {
	rates         map[limitKey]rateLimit
	concurrencies map[limitKey]*resilience.Concurrency
	rateGates     map[limitKey]rateGate // pod is never empty
	placeGates    map[limitKey]placeGate
}

// limitKey names a limit of a state. pod is empty when the node's pods share.
type limitKey struct{ rule, pod string }

// rateLimit is one of the state's, or one that the state shares: the name of it in the cluster then.
type rateLimit struct {
	limit  *resilience.RateLimit
	shared policy.LimitName
}

// rateGate is where a pod comes to a limit.
type rateGate struct {
	to   *resilience.RateLimit
	gate *resilience.RateGate
}

type placeGate struct {
	to   *resilience.Concurrency
	gate *resilience.ConcurrencyGate
}

func newLimits() limits {
	return limits{
		rates: map[limitKey]rateLimit{}, concurrencies: map[limitKey]*resilience.Concurrency{},
		rateGates: map[limitKey]rateGate{}, placeGates: map[limitKey]placeGate{},
	}
}

// gates returns what calls of a pod pass under a binding's settings, and how each is named. The place comes first, so that calls start as
// the rate has them start: who waits for the rate has a place meanwhile. Connections that are passed through end as calls when they are
// made, so that a limit of concurrency has nothing to count.
func (st *state) gates(versions versions, b *Binding, i int, pod string, opaque bool) (gates []call.Gate, names []Detail) {
	s := b.at(i)
	if s.values.Concurrency != nil && !opaque {
		gates = append(gates, st.placeGate(versions, limitKey{s.own(s.ownConcurrency), pod}))
		names = append(names, DetailConcurrency)
	}
	if s.values.RateLimit != nil {
		gates = append(gates, st.rateGate(versions, limitKey{s.own(s.ownRateLimit), pod}))
		names = append(names, DetailRateLimit)
	}
	return gates, names
}

// own is the rule that keeps state of its own.
func (s *settings) own(keeps bool) string {
	if keeps {
		return s.name
	}
	return ""
}

func (st *state) rateGate(versions versions, k limitKey) call.Gate {
	shared, cfg := k, versions.rateLimit(k.rule)
	if cfg.Scope != policy.SharePod {
		shared.pod = ""
	}
	l, known := st.limits.rates[shared]
	if !known {
		l = st.newRateLimit(cfg)
		st.limits.rates[shared] = l
	}
	g := st.limits.rateGates[k]
	if g.to != l.limit {
		g = rateGate{l.limit, l.limit.Gate()}
		st.limits.rateGates[k] = g
	}
	return g.gate
}

// newRateLimit makes a limit, or finds the node's part of one that the cluster shares.
func (st *state) newRateLimit(cfg *policy.RateLimit) rateLimit {
	if name := st.sharedName(cfg); name.Limit != "" {
		return rateLimit{st.shared.limit(name, cfg, time.Now()), name}
	}
	return rateLimit{limit: resilience.NewRateLimit(*cfg, time.Now())}
}

// sharedName names a limit in the cluster; it is zero for one that the cluster does not share, as in a dry run, which takes nothing of it.
func (st *state) sharedName(cfg *policy.RateLimit) policy.LimitName {
	if st.key.shadow || cfg.Scope != policy.ShareCluster || cfg.Shared == "" {
		return policy.LimitName{}
	}
	return policy.LimitName{Limit: cfg.Shared, Destination: st.key.destination}
}

func (st *state) placeGate(versions versions, k limitKey) call.Gate {
	shared, cfg := k, versions.concurrency(k.rule)
	if cfg.Scope != policy.SharePod {
		shared.pod = ""
	}
	l := st.limits.concurrencies[shared]
	if l == nil {
		l = resilience.NewConcurrency(*cfg, time.Now())
		st.limits.concurrencies[shared] = l
	}
	g := st.limits.placeGates[k]
	if g.to != l {
		g = placeGate{l, l.Gate()}
		st.limits.placeGates[k] = g
	}
	return g.gate
}

// reconfigureLimits puts new versions' limits in force, and drops those of rules that are no more.
func (st *state) reconfigureLimits(versions versions) {
	l, now := &st.limits, time.Now()
	for k, rate := range l.rates {
		cfg := versions.rateLimit(k.rule)
		switch {
		case cfg == nil || (cfg.Scope == policy.SharePod) != (k.pod != "") || st.sharedName(cfg) != rate.shared:
			delete(l.rates, k)
		case rate.shared.Limit != "":
			st.shared.limit(rate.shared, cfg, now)
		default:
			rate.limit.Reconfigure(*cfg, now)
		}
	}
	for k, c := range l.concurrencies {
		if cfg := versions.concurrency(k.rule); cfg != nil && (cfg.Scope == policy.SharePod) == (k.pod != "") {
			c.Reconfigure(*cfg)
		} else {
			delete(l.concurrencies, k)
		}
	}
	for k, g := range l.rateGates {
		if l.rates[k].limit != g.to && l.rates[limitKey{rule: k.rule}].limit != g.to {
			delete(l.rateGates, k)
		}
	}
	for k, g := range l.placeGates {
		if l.concurrencies[k] != g.to && l.concurrencies[limitKey{rule: k.rule}] != g.to {
			delete(l.placeGates, k)
		}
	}
}

// dropPod forgets what was a pod's own.
func (l *limits) dropPod(pod string) {
	for k := range l.rateGates {
		if k.pod == pod {
			delete(l.rates, k)
			delete(l.rateGates, k)
		}
	}
	for k := range l.placeGates {
		if k.pod == pod {
			delete(l.concurrencies, k)
			delete(l.placeGates, k)
		}
	}
}

// rateLimit returns what a rate limit kept for a rule goes by, or nil if there is none any more. An empty rule is the base and all rules
// without a limit of their own.
func (v versions) rateLimit(rule string) *policy.RateLimit {
	for _, b := range v {
		if rule == "" && b.base.values.RateLimit != nil {
			return b.base.values.RateLimit
		}
		for i := range b.rules {
			if r := &b.rules[i]; rule != "" && r.name == rule && r.ownRateLimit && r.values.RateLimit != nil {
				return r.values.RateLimit
			}
		}
	}
	return nil
}

// concurrency is to limits of concurrency what rateLimit is to rate limits.
func (v versions) concurrency(rule string) *policy.Concurrency {
	for _, b := range v {
		if rule == "" && b.base.values.Concurrency != nil {
			return b.base.values.Concurrency
		}
		for i := range b.rules {
			if r := &b.rules[i]; rule != "" && r.name == rule && r.ownConcurrency && r.values.Concurrency != nil {
				return r.values.Concurrency
			}
		}
	}
	return nil
}
