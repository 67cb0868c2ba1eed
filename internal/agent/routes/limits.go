package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// limits are those that a state keeps. Like the state they are guarded by Table.mu.
type limits struct {
	rates         limitsOf[rateLimit, *resilience.RateGate]
	concurrencies limitsOf[*resilience.Concurrency, *resilience.ConcurrencyGate]
}

// limitsOf are the limits of one kind, and where pods come to them.
type limitsOf[L limit[G], G call.Gate] struct {
	all   map[limitKey]L
	gates map[limitKey]gateTo[L, G] // pod is never empty
}

// limitKey names a limit of a state. pod is empty when the node's pods share.
type limitKey struct{ rule, pod string }

// limit is one to which pods come by gates.
type limit[G call.Gate] interface {
	comparable
	Gate() G
}

// rateLimit is one of the state's, or one that the state shares: the name of it in the cluster then, and how long calls under the state wait for it,
// which others that share it need not do.
type rateLimit struct {
	*resilience.RateLimit
	shared  policy.LimitName
	maxWait time.Duration
}

// Gate implements limit.
func (l rateLimit) Gate() *resilience.RateGate {
	if l.shared.Limit != "" {
		return l.GateWaiting(l.maxWait)
	}
	return l.RateLimit.Gate()
}

// gateTo is where a pod comes to a limit.
type gateTo[L, G any] struct {
	to   L
	gate G
}

func newLimits() limits {
	return limits{newLimitsOf[rateLimit](), newLimitsOf[*resilience.Concurrency]()}
}

func newLimitsOf[L limit[G], G call.Gate]() limitsOf[L, G] {
	return limitsOf[L, G]{map[limitKey]L{}, map[limitKey]gateTo[L, G]{}}
}

// gate returns where a pod comes to the limit of a rule. make makes the limit if there is none.
func (l *limitsOf[L, G]) gate(k limitKey, scope policy.Sharing, make func() L) call.Gate {
	at := k
	if scope != policy.SharePod {
		at.pod = ""
	}
	to, known := l.all[at]
	if !known {
		to = make()
		l.all[at] = to
	}
	g := l.gates[k]
	if g.to != to {
		g = gateTo[L, G]{to, to.Gate()}
		l.gates[k] = g
	}
	return g.gate
}

// retain drops the limits that are not to be kept, and the ways to them.
func (l *limitsOf[L, G]) retain(keep func(limitKey, L) bool) {
	for k, is := range l.all {
		if !keep(k, is) {
			delete(l.all, k)
		}
	}
	for k, g := range l.gates {
		if l.all[k] != g.to && l.all[limitKey{rule: k.rule}] != g.to {
			delete(l.gates, k)
		}
	}
}

// dropPod forgets what was a pod's own.
func (l *limitsOf[L, G]) dropPod(pod string) {
	for k := range l.gates {
		if k.pod == pod {
			delete(l.all, k)
			delete(l.gates, k)
		}
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
	cfg := versions.rateLimit(k.rule)
	return st.limits.rates.gate(k, cfg.Scope, func() rateLimit { return st.newRateLimit(cfg) })
}

// newRateLimit makes a limit, or finds the node's part of one that the cluster shares.
func (st *state) newRateLimit(cfg *policy.RateLimit) rateLimit {
	if name := st.sharedName(cfg); name.Limit != "" {
		return rateLimit{st.shared.limit(name, cfg, time.Now()), name, cfg.MaxWait}
	}
	return rateLimit{RateLimit: resilience.NewRateLimit(*cfg, time.Now())}
}

// sharedName names a limit in the cluster; it is zero for one that the cluster does not share, as in a dry run, which takes nothing of it.
func (st *state) sharedName(cfg *policy.RateLimit) policy.LimitName {
	if st.key.shadow || cfg.Scope != policy.ShareCluster || cfg.Shared == "" {
		return policy.LimitName{}
	}
	return policy.LimitName{Limit: cfg.Shared, Destination: st.key.destination}
}

func (st *state) placeGate(versions versions, k limitKey) call.Gate {
	cfg := versions.concurrency(k.rule)
	return st.limits.concurrencies.gate(k, cfg.Scope, func() *resilience.Concurrency {
		return resilience.NewConcurrency(*cfg, time.Now())
	})
}

// reconfigureLimits puts new versions' limits in force, and drops those of rules that are no more.
func (st *state) reconfigureLimits(versions versions) {
	now := time.Now()
	st.limits.rates.retain(func(k limitKey, l rateLimit) bool {
		cfg := versions.rateLimit(k.rule)
		switch {
		case cfg == nil || !k.isOf(cfg.Scope) || st.sharedName(cfg) != l.shared:
			return false
		case l.shared.Limit != "":
			st.shared.limit(l.shared, cfg, now)
			return l.maxWait == cfg.MaxWait
		default:
			l.Reconfigure(*cfg, now)
		}
		return true
	})
	st.limits.concurrencies.retain(func(k limitKey, c *resilience.Concurrency) bool {
		cfg := versions.concurrency(k.rule)
		if cfg == nil || !k.isOf(cfg.Scope) {
			return false
		}
		c.Reconfigure(*cfg)
		return true
	})
}

// isOf reports whether a limit of a scope is kept where k says.
func (k limitKey) isOf(scope policy.Sharing) bool { return (scope == policy.SharePod) == (k.pod != "") }

// dropPod forgets what was a pod's own.
func (l *limits) dropPod(pod string) {
	l.rates.dropPod(pod)
	l.concurrencies.dropPod(pod)
}
