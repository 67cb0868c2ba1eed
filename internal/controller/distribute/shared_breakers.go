package distribute

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/controller/verdicts"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

const (
	// breakerTick is how often it is looked whether time has changed something about breakers that the cluster shares.
	breakerTick = 100 * time.Millisecond
	// maxBreakersPerAgent bounds the breakers that one agent is heard about.
	maxBreakersPerAgent = 4096
)

// sharedBreakers are the breakers that the cluster shares. Guarded by Store.mu.
type sharedBreakers struct {
	bindings map[string]*sharedBinding // by key
	known    map[policy.BreakerKey]*verdicts.Breaker
	due      map[policy.BreakerKey]*verdicts.Breaker // those of known that time may change
	number   uint64
}

// sharedBinding is a binding with such breakers.
type sharedBinding struct {
	rules    map[string]policy.Breaker // by rule; empty for the binding's
	profiles map[string]*profile
}

func newSharedBreakers() sharedBreakers {
	return sharedBreakers{
		bindings: map[string]*sharedBinding{}, known: map[policy.BreakerKey]*verdicts.Breaker{}, due: map[policy.BreakerKey]*verdicts.Breaker{},
	}
}

// sharedBreakersOf lists the breakers of a profile's bindings that the cluster shares, by binding and rule.
func sharedBreakersOf(p *policy.Profile) map[string]map[string]policy.Breaker {
	out := map[string]map[string]policy.Breaker{}
	add := func(b *policy.Binding, rule string, cfg *policy.Breaker) {
		if cfg == nil || cfg.Sharing != policy.ShareCluster || cfg.Scope == policy.ScopeEndpoint {
			return
		}
		if out[b.Key] == nil {
			out[b.Key] = map[string]policy.Breaker{}
		}
		out[b.Key][rule] = *cfg
	}
	for i := range p.Bindings {
		b := &p.Bindings[i]
		add(b, "", b.Base.Breaker)
		for j := range b.Rules {
			switch r := &b.Rules[j]; {
			case r.OwnBreaker:
				add(b, r.Name, r.Settings.Breaker)
			case b.Base.Breaker == nil:
				add(b, "", r.Settings.Breaker)
			}
		}
	}
	return out
}

// setShared records the breakers of a profile that the cluster shares. Those whose block has changed start again, as they do on the nodes.
func (s *Store) setShared(p *profile, shared map[string]map[string]policy.Breaker) {
	for key := range p.shared {
		if _, still := shared[key]; still {
			continue
		}
		b := s.shared.bindings[key]
		delete(b.profiles, p.name)
		if len(b.profiles) == 0 {
			delete(s.shared.bindings, key)
			s.forgetBreakers(key)
		}
	}
	for key, rules := range shared {
		b := s.shared.bindings[key]
		if b == nil {
			b = &sharedBinding{profiles: map[string]*profile{}}
			s.shared.bindings[key] = b
		}
		if b.rules != nil && !maps.EqualFunc(b.rules, rules, sameBreaker) {
			s.forgetBreakers(key)
		}
		b.rules, b.profiles[p.name] = rules, p
	}
	p.shared = shared
	for _, n := range p.nodes {
		for _, c := range n.sessions {
			s.markOpenBreakers(c, p)
		}
	}
}

// sameBreaker reports whether nodes keep the state of a breaker whose block was a and is b.
func sameBreaker(a, b policy.Breaker) bool { return policy.SameBreaker(&a, &b) }

// forgetBreakers forgets the breakers of a binding.
func (s *Store) forgetBreakers(binding string) {
	for k := range s.shared.known {
		if k.Binding == binding {
			delete(s.shared.known, k)
			delete(s.shared.due, k)
		}
	}
}

// reportBreakers takes in how an agent sees breakers that the cluster shares. It may report on those of its own node's profiles alone.
func (s *Store) reportBreakers(c *session, list []policy.BreakerReport, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended {
		return
	}
	for _, r := range list {
		b := s.sharedBreaker(c, r, now)
		if b == nil {
			continue
		}
		s.changeBreaker(r.Key, b, func() { b.Report(now, c.member(), r.View, r.Number) })
		if r.View == policy.BreakerIdle {
			delete(c.reported, r.Key)
		}
	}
}

// sharedBreaker returns the breaker that a report is about, or nil.
func (s *Store) sharedBreaker(c *session, r policy.BreakerReport, now time.Time) *verdicts.Breaker {
	of := s.shared.bindings[r.Key.Binding]
	if of == nil || !of.usedOn(c.node) {
		return nil
	}
	cfg, shared := of.rules[r.Key.Rule]
	if !shared {
		return nil
	}
	_, reported := c.reported[r.Key]
	if !reported && (r.View == policy.BreakerIdle || len(c.reported) >= maxBreakersPerAgent) {
		return nil
	}
	if c.reported == nil {
		c.reported = map[policy.BreakerKey]struct{}{}
	}
	c.reported[r.Key] = struct{}{}
	b := s.shared.known[r.Key]
	if b == nil {
		from := now.Add(verdicts.LeaderWaits - s.serving.servingFor(now))
		b = verdicts.New(&cfg, from, s.nextBreakerNumber, rand.Float64)
		s.shared.known[r.Key] = b
	}
	return b
}

func (s *Store) nextBreakerNumber() uint64 {
	s.shared.number++
	return s.shared.number
}

// usedOn reports whether a pod of a node uses a profile with the binding.
func (b *sharedBinding) usedOn(n *node) bool {
	for name := range n.profiles {
		if b.profiles[name] != nil {
			return true
		}
	}
	return false
}

func (c *session) member() verdicts.Member { return verdicts.Member{Node: c.node.name, Agent: c.agent} }

// changeBreaker does something with a breaker, and has the agents concerned sent what comes of it.
func (s *Store) changeBreaker(k policy.BreakerKey, b *verdicts.Breaker, change func()) {
	before := b.Revision()
	change()
	if b.Revision() != before {
		for _, p := range s.shared.bindings[k.Binding].profiles {
			for _, n := range p.nodes {
				for _, c := range n.sessions {
					c.markBreaker(k)
				}
			}
		}
	}
	delete(s.shared.due, k)
	switch {
	case b.Idle():
		delete(s.shared.known, k)
	case b.Due():
		s.shared.due[k] = b
	}
}

// loseBreakers forgets what an agent reported that has gone.
func (s *Store) loseBreakers(c *session, now time.Time) {
	for k := range c.reported {
		if b := s.shared.known[k]; b != nil {
			s.changeBreaker(k, b, func() { b.Lost(now, c.member()) })
		}
	}
	c.reported = nil
}

// tickBreakers does what is due.
func (s *Store) tickBreakers(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, b := range s.shared.due {
		s.changeBreaker(k, b, func() { b.Tick(now) })
	}
}

func (s *Store) runBreakers(ctx context.Context) {
	tick := time.NewTicker(breakerTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.tickBreakers(time.Now())
		}
	}
}

// markBreaker has the agent sent what has been decided on a breaker.
func (c *session) markBreaker(k policy.BreakerKey) {
	if !c.features.Has(wire.FeatureClusterBreakers) {
		return
	}
	if c.dirtyBreakers == nil {
		c.dirtyBreakers = map[policy.BreakerKey]struct{}{}
	}
	c.dirtyBreakers[k] = struct{}{}
	c.wakeUp()
}

// markOpenBreakers has the agent sent what is not closed of the breakers of a profile.
func (s *Store) markOpenBreakers(c *session, p *profile) {
	for k, b := range s.shared.due {
		if _, has := p.shared[k.Binding]; has && !b.Closed() {
			c.markBreaker(k)
		}
	}
}

// nextVerdicts returns what the agent is to be sent about breakers, or nil. It has something to say once it has acknowledged an update: it has
// the policies then.
func (s *Store) nextVerdicts(c *session, now time.Time) *wire.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended || !c.answered || !c.features.Has(wire.FeatureClusterBreakers) || c.announced && len(c.dirtyBreakers) == 0 {
		return nil
	}
	if !c.announced {
		if !c.node.sharesBreakers() {
			return nil
		}
		c.announced = true
		for _, u := range c.node.profiles {
			s.markOpenBreakers(c, u.profile)
		}
	}
	u := &wire.Update{TakesBreakers: true}
	for k := range c.dirtyBreakers {
		if len(u.Breakers) == wire.MaxBreakers {
			c.wakeUp()
			break
		}
		delete(c.dirtyBreakers, k)
		if v, send := s.verdict(c, k, now); send {
			u.Breakers = append(u.Breakers, v)
		}
	}
	return u
}

// sharesBreakers reports whether a pod of the node has a policy with breakers that the cluster shares.
func (n *node) sharesBreakers() bool {
	for _, u := range n.profiles {
		if len(u.profile.shared) > 0 {
			return true
		}
	}
	return false
}

// verdict returns what an agent is to be sent about a breaker. That it is closed is for those alone that have it open.
func (s *Store) verdict(c *session, k policy.BreakerKey, now time.Time) (v policy.BreakerVerdict, send bool) {
	b := s.shared.known[k]
	if b != nil {
		v = b.Verdict(now, c.member())
	}
	v.Key = k
	if v.Order != policy.BreakerClose {
		if c.ordered == nil {
			c.ordered = map[policy.BreakerKey]struct{}{}
		}
		c.ordered[k] = struct{}{}
		return v, true
	}
	_, ordered := c.ordered[k]
	delete(c.ordered, k)
	return v, ordered && b != nil
}

// awaits reports whether an acknowledgement of the agent is waited for.
func (s *Store) awaits(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.sent != nil
}
