package routes

import (
	"math/rand/v2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// resolve makes a lane. A table that has been replaced in the meantime gets one whose state nobody else sees: its call keeps the
// version it began with, and the versions after it are not disturbed.
func (s *Table) resolve(t *PodRoutes, c *Candidate, destination string) (*Route, error) {
	k := stateKey{c.Key(), destination}
	if l := s.found(t, c, k); l != nil {
		t.remember(l, destination)
		return l, nil
	}
	pool, err := upstream.New(s.poolOptions(t, c.Binding, destination)) // not under the lock: it may have many endpoints
	if err != nil {
		return nil, err
	}
	l, forgotten := s.enter(t, c, k, pool)
	for _, p := range forgotten {
		p.Close()
	}
	if !l.Stale() {
		t.remember(l, destination)
	}
	return l, nil
}

// found makes a lane of what is there already, if the table is in force.
func (s *Table) found(t *PodRoutes, c *Candidate, k stateKey) *Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries.find(t.pod, k)
	if e == nil || s.current.Load().tables[t.pod] != t {
		return nil
	}
	return newLane(t, c, e, s.bindings[k.binding])
}

// enter makes a lane and what it needs but its pool, and returns the pools of what had to be forgotten for it.
func (s *Table) enter(t *PodRoutes, c *Candidate, k stateKey, pool *upstream.Pool) (l *Route, forgotten []*upstream.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load().tables[t.pod] != t {
		e := &entry{pod: t.pod, key: k, state: newState(k), pool: pool}
		e.forgotten.Store(true)
		return newLane(t, c, e, versions{c.Binding}), []*upstream.Pool{pool}
	}
	if e := s.entries.find(t.pod, k); e != nil { // made meanwhile
		return newLane(t, c, e, s.bindings[k.binding]), []*upstream.Pool{pool}
	}
	e := &entry{pod: t.pod, key: k, state: s.states.get(k), pool: pool, binding: c.Binding}
	s.entries.add(e, c.dynamic())
	s.dock.Put(s.poolKey(e), pool)
	if s.late != nil {
		*s.late = append(*s.late, e)
	}
	return newLane(t, c, e, s.bindings[k.binding]), s.makeRoom(t.pod)
}

// makeRoom forgets dynamic destinations until there are as many as may be, and returns their pools. Those that no pod uses any more
// go first.
func (s *Table) makeRoom(asking string) (forgotten []*upstream.Pool) {
	for s.entries.dynamic+s.states.unused.Len() > s.maxDynamic {
		if last := s.states.unused.Back(); last != nil {
			s.states.forget(last.Value.(*state))
			continue
		}
		e := s.entries.leastUsed(asking)
		if e == nil {
			break
		}
		forgotten = append(forgotten, s.drop(e))
		if e.state.entries == 0 {
			s.states.forget(e.state)
		}
	}
	return forgotten
}

// drop forgets an entry and returns its pool, which the caller closes. The state stays, but for what was the pod's own.
func (s *Table) drop(e *entry) *upstream.Pool {
	s.entries.remove(e)
	e.state.dropPod(e.pod)
	return s.dock.Remove(s.poolKey(e))
}

func (s *Table) poolKey(e *entry) upstream.Key {
	return upstream.Key{Pod: e.pod, Binding: e.key.binding, Destination: e.key.destination}
}

func (s *Table) poolOptions(t *PodRoutes, b *Binding, destination string) upstream.Options {
	base := b.base.values
	return upstream.Options{
		Dialer: s.dialer(t.pod), Limits: base.Pool, LoadBalancing: base.LoadBalancing, Endpoints: b.endpoints[destination],
	}
}

// newLane makes a lane of an entry. It expects the lock.
func newLane(t *PodRoutes, c *Candidate, e *entry, of versions) *Route {
	b := c.Binding
	l := &Route{Binding: b, Pool: e.pool, entry: e, plans: make([]Plan, len(b.rules)+1)}
	for i := range l.plans {
		l.plans[i] = newPlan(b.at(i), call.Plan{
			Settings: b.at(i).values,
			Breaker:  e.state.breaker(of, b, i, t.pod, rand.Float64),
			Budget:   e.state.budget(of, b, i),
			Random:   rand.Float64,
		})
	}
	return l
}
