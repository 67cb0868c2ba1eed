package routes

import (
	"container/list"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// stateKey names what one binding keeps about one concrete destination that is called in one way. When a policy comes to say another way, calls
// of the version before go on in theirs, with what they have.
type stateKey struct {
	binding, destination string
	way                  upstream.Way
}

// state is kept about one binding at one concrete destination, for all pods of the node. It is guarded by Table.mu.
type state struct {
	key      stateKey
	entries  int           // of pods that use it
	place    *list.Element // among the dynamic ones that no pod uses any more
	cluster  *upstream.Cluster
	security upstream.Security // of the connections; nil: they are plain
	proxy    upstream.Proxy    // through which they are made; nil: none
	spoken   *spoken           // what the host speaks; it never changes, and has a lock of its own
	breakers map[breakerKey]*resilience.Breaker
	budgets  map[budgetKey]*resilience.Budget
	adaptive map[budgetKey]*resilience.AdaptiveTimeout
	// percentiles are those that say when an attempt gets another beside it
	percentiles map[budgetKey]*resilience.LatencyPercentile
	limits      limits
	verdicts    verdicts // of the table; nil while the state is not in force
}

// breakerKey names a breaker of a state. pod is empty when the node's pods share. Connections that are passed through have breakers and budgets of
// their own: that a server accepts connections does not say that it answers requests, and neither may make up for the other.
type breakerKey struct {
	rule, pod string
	opaque    bool
}

// budgetKey names a budget of a state, or another instrument that all pods of the node share.
type budgetKey struct {
	rule   string
	opaque bool
}

// states holds them all. It is guarded by Table.mu.
type states struct {
	all map[string]map[stateKey]*state // by binding
	// unused are dynamic ones that no pod uses any more; the pod that takes an ended one's place finds them again.
	unused list.List
}

func (s *states) find(k stateKey) *state { return s.all[k.binding][k] }

// add adds the state of a key that has none.
func (s *states) add(st *state) {
	if s.all[st.key.binding] == nil {
		s.all[st.key.binding] = map[stateKey]*state{}
	}
	s.all[st.key.binding][st.key] = st
}

// use notes that a pod uses a state.
func (s *states) use(st *state) {
	if st.place != nil {
		s.unused.Remove(st.place)
		st.place = nil
	}
}

// newState makes the state of a key as the bindings of the key that are in force say.
func newState(k stateKey, of versions) *state {
	spoken := newSpoken()
	return &state{
		key: k, cluster: upstream.NewCluster(of.hosts(k.destination)), security: of.security(nil, k, spoken), proxy: of.proxy(k.destination), spoken: spoken,
		breakers: map[breakerKey]*resilience.Breaker{}, budgets: map[budgetKey]*resilience.Budget{},
		adaptive: map[budgetKey]*resilience.AdaptiveTimeout{}, percentiles: map[budgetKey]*resilience.LatencyPercentile{},
		limits: newLimits(),
	}
}

// configure has connections made as the bindings of the key say that are in force.
func (st *state) configure(of versions) {
	st.security, st.proxy = of.security(st.security, st.key, st.spoken), of.proxy(st.key.destination)
}

// left notes that a pod has no use for a dynamic state any more.
func (s *states) left(st *state) {
	if st.entries == 0 && st.place == nil && s.all[st.key.binding][st.key] == st {
		st.place = s.unused.PushFront(st)
	}
}

func (s *states) forget(st *state) {
	if st.place != nil {
		s.unused.Remove(st.place)
		st.place = nil
	}
	delete(s.all[st.key.binding], st.key)
	if len(s.all[st.key.binding]) == 0 {
		delete(s.all, st.key.binding)
	}
}

// breaker returns the breaker of a binding's settings, or nil when they have none. versions are all bindings of the key that are
// in force, b among them: see versions. k has the pod, and whether the breaker is for connections that are passed through.
func (st *state) breaker(versions versions, b *Binding, i int, k breakerKey, random func() float64) *resilience.Breaker {
	s := b.at(i)
	if s.values.Breaker == nil {
		return nil
	}
	if s.ownBreaker {
		k.rule = s.name
	}
	cfg, limit := versions.breaker(k.rule)
	if cfg.Sharing != policy.SharePod {
		k.pod = ""
	}
	br := st.breakers[k]
	if br == nil {
		br = resilience.NewBreaker(cfg, time.Now(), random)
		br.SetAttemptLimit(limit)
		br.Force(time.Now(), versions.forced())
		st.verdicts.obey(time.Now(), st.sharedKey(k), br)
		st.breakers[k] = br
	}
	return br
}

// budget returns the retry budget of a binding's settings.
func (st *state) budget(versions versions, b *Binding, i int, opaque bool) *resilience.Budget {
	s := b.at(i)
	k := budgetKey{opaque: opaque}
	if s.ownBudget {
		k.rule = s.name
	}
	bu := st.budgets[k]
	if bu == nil {
		bu = resilience.NewBudget(*versions.budget(k.rule), time.Now())
		st.budgets[k] = bu
	}
	return bu
}

// adaptiveTimeout returns that of a binding's settings, or nil when they have none.
func (st *state) adaptiveTimeout(versions versions, b *Binding, i int, opaque bool) *resilience.AdaptiveTimeout {
	s := b.at(i)
	if !s.values.Timeouts.Adaptive.On() {
		return nil
	}
	k := budgetKey{opaque: opaque}
	if s.ownAdaptive {
		k.rule = s.name
	}
	a := st.adaptive[k]
	if a == nil {
		a = resilience.NewAdaptiveTimeout(versions.adaptive(k.rule))
		st.adaptive[k] = a
	}
	return a
}

// percentile returns that by which a binding's settings hedge, or nil when they do not, or go by a fixed delay.
func (st *state) percentile(versions versions, b *Binding, i int) *resilience.LatencyPercentile {
	s := b.at(i)
	if h := s.values.Retry.Hedging; h.Percentile == 0 {
		return nil
	}
	k := budgetKey{}
	if s.ownHedging {
		k.rule = s.name
	}
	l := st.percentiles[k]
	if l == nil {
		l = resilience.NewLatencyPercentile(versions.hedging(k.rule).Percentile)
		st.percentiles[k] = l
	}
	return l
}

// reconfigure puts new versions' breakers, budgets and limits in force, and what is known of latencies, and drops those of rules that are no more.
func (st *state) reconfigure(versions versions) {
	for k, br := range st.breakers {
		cfg, limit := versions.breaker(k.rule)
		if cfg == nil || (cfg.Sharing == policy.SharePod) != (k.pod != "") {
			delete(st.breakers, k)
			continue
		}
		br.Reconfigure(cfg)
		br.SetAttemptLimit(limit)
		br.Force(time.Now(), versions.forced())
	}
	for k, bu := range st.budgets {
		if cfg := versions.budget(k.rule); cfg != nil {
			bu.Reconfigure(*cfg)
		} else {
			delete(st.budgets, k)
		}
	}
	for k, a := range st.adaptive {
		if cfg := versions.adaptive(k.rule); cfg.On() {
			a.Reconfigure(cfg)
		} else {
			delete(st.adaptive, k)
		}
	}
	for k, l := range st.percentiles {
		if h := versions.hedging(k.rule); h.Percentile > 0 {
			l.Reconfigure(h.Percentile)
		} else {
			delete(st.percentiles, k)
		}
	}
	st.limits.reconfigure(versions)
}

// dropPod forgets what a pod does not share.
func (st *state) dropPod(pod string) {
	st.limits.dropPod(pod)
	for k := range st.breakers {
		if k.pod == pod {
			delete(st.breakers, k)
		}
	}
}
