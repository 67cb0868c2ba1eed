package store

import (
	"container/list"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// MaxDynamicDestinations bounds the destinations that come from traffic (host names, addresses in a block, anything) and not
// from policy. Beyond it the one not asked for the longest is forgotten with its breakers, budgets and pools.
const MaxDynamicDestinations = 4096

// stateKey names what one binding keeps about one concrete destination.
type stateKey struct{ binding, destination string }

// state is kept about one binding at one concrete destination, for all pods of the node.
type state struct {
	key       stateKey
	forgotten atomic.Bool

	// guarded by Store.mu
	place    *list.Element // in the order of use; nil if not dynamic
	breakers map[breakerKey]*resilience.Breaker
	budgets  map[string]*resilience.Budget // by rule
}

type breakerKey struct{ rule, pod string } // pod is empty when the node's pods share

// states holds them all. It is guarded by Store.mu.
type states struct {
	all   map[stateKey]*state
	order list.List // of dynamic ones, the one used last in front
	limit int
}

// get returns the state of a key, made if need be, and the one that had to be forgotten for it.
func (s *states) get(k stateKey, dynamic bool) (got, victim *state) {
	st := s.all[k]
	if st == nil {
		st = &state{key: k, breakers: map[breakerKey]*resilience.Breaker{}, budgets: map[string]*resilience.Budget{}}
		s.all[k] = st
		if dynamic {
			st.place = s.order.PushFront(st)
		}
	} else if st.place != nil {
		s.order.MoveToFront(st.place)
	}
	if s.order.Len() > s.limit {
		victim = s.order.Back().Value.(*state)
		s.forget(victim)
	}
	return st, victim
}

func (s *states) forget(st *state) {
	st.forgotten.Store(true)
	if st.place != nil {
		s.order.Remove(st.place)
	}
	delete(s.all, st.key)
}

// breaker returns the breaker of a binding's settings, or nil when they have none.
func (st *state) breaker(b *Binding, i int, pod string, random func() float64) *resilience.Breaker {
	s := b.at(i)
	cfg := s.values.Breaker
	if cfg == nil {
		return nil
	}
	k := breakerKey{}
	if s.ownBreaker {
		k.rule = s.name
	}
	if cfg.Sharing == policy.SharePod {
		k.pod = pod
	}
	br := st.breakers[k]
	if br == nil {
		br = resilience.NewBreaker(cfg, random)
		st.breakers[k] = br
	}
	return br
}

// budget returns the retry budget of a binding's settings.
func (st *state) budget(b *Binding, i int) *resilience.Budget {
	s := b.at(i)
	rule := ""
	if s.ownBudget {
		rule = s.name
	}
	bu := st.budgets[rule]
	if bu == nil {
		bu = resilience.NewBudget(s.values.Retry.Budget, time.Now())
		st.budgets[rule] = bu
	}
	return bu
}

// reconfigure puts a new version's blocks in force. Instruments of rules that are no more wait for collection with the rest.
func (st *state) reconfigure(b *Binding) {
	for k, br := range st.breakers {
		if cfg := b.named(k.rule).values.Breaker; cfg != nil {
			br.Reconfigure(cfg)
		} else {
			delete(st.breakers, k)
		}
	}
	for rule, bu := range st.budgets {
		bu.Reconfigure(b.named(rule).values.Retry.Budget)
	}
}

// dropPods forgets breakers of pods that are no more.
func (st *state) dropPods(alive func(pod string) bool) {
	for k := range st.breakers {
		if k.pod != "" && !alive(k.pod) {
			delete(st.breakers, k)
		}
	}
}
