package routes

import (
	"math/rand/v2"
	"slices"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// resolve makes a route. A PodRoutes that has been replaced in the meantime gets one with a state of its own: its call keeps the
// version it began with, and the versions after it are not disturbed.
func (s *Table) resolve(t *PodRoutes, c *Candidate, as routeKey) (*Route, error) {
	k := stateKey{binding: c.Key(), destination: as.destination, way: c.way()}
	q := &query{candidate: c, would: as.would}
	r, of, known := s.find(t, q, k)
	if r != nil {
		return s.resolved(t, c, r, as)
	}
	n := &entryInputs{query: *q, dialer: s.dialer(t.pod)}
	if !known {
		n.state = s.newState(k, of) // not under the lock: it may have many hosts
	}
	r, forgotten, err := s.enter(t, k, n)
	if err != nil {
		return nil, err
	}
	for _, p := range forgotten {
		p.Close()
	}
	return s.resolved(t, c, r, as)
}

// resolved completes a route that was made.
func (s *Table) resolved(t *PodRoutes, c *Candidate, r *Route, as routeKey) (*Route, error) {
	r.recorder = c.recorder.ForRoute(t.caller, as.destination, c.byAddress())
	if err := s.backUp(t, c, r, as.destination); err != nil {
		return nil, err
	}
	t.remember(r, as)
	return r, nil
}

// query is what a route is asked for: what governs a request, and what it would come under.
type query struct {
	candidate *Candidate
	would     wouldBe
}

// find makes a route of what is there already, if t is in force. Otherwise it returns the bindings that govern a new one, and whether
// the node knows the destination.
func (s *Table) find(t *PodRoutes, q *query, k stateKey) (r *Route, of versions, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inForce(t) {
		return nil, versions{q.candidate.Binding}, false
	}
	of = s.bindings[k.binding]
	if e := s.entries.find(t.pod, k); e != nil {
		return s.newRoute(q, e, of), of, true
	}
	return nil, of, s.states.find(k) != nil
}

// inForce reports whether t is of the present version. It expects the lock.
func (s *Table) inForce(t *PodRoutes) bool { return s.current.Load().tables[t.pod] == t }

// entryInputs is what a new entry is made of.
type entryInputs struct {
	query
	dialer   upstream.Dialer
	state    *state    // nil: the node had one already
	affinity *affinity // nil: the destination has none
}

// enter makes a route and what it needs, and returns the pools of what had to be forgotten for it.
func (s *Table) enter(t *PodRoutes, k stateKey, n *entryInputs) (*Route, []*upstream.Pool, error) {
	c := n.candidate
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inForce(t) {
		n.affinity = s.affinities.find(t.pod, k.destination) // nobody else finds it, for the pod may have gone
		of := versions{c.Binding}
		e, err := newEntry(t.pod, n, s.newState(k, of))
		if err != nil {
			return nil, nil, err
		}
		e.forgotten.Store(true)
		return s.newRoute(&n.query, e, of), []*upstream.Pool{e.pool}, nil
	}
	of := s.bindings[k.binding]
	if e := s.entries.find(t.pod, k); e != nil { // made meanwhile
		return s.newRoute(&n.query, e, of), nil, nil
	}
	if !c.dynamic() {
		n.affinity = s.affinities.find(t.pod, k.destination)
	}
	e, err := newEntry(t.pod, n, s.stateFor(k, n.state, of))
	if err != nil {
		return nil, nil, err
	}
	s.states.use(e.state)
	if n.affinity != nil {
		s.affinities.use(n.affinity)
	}
	s.entries.add(e, c.dynamic())
	s.pools.Put(s.poolKey(e), e.pool)
	if s.late != nil {
		*s.late = append(*s.late, e)
	}
	forgotten := s.makeRoom(t.pod) // before the route, for what calls of it would come under needs room too
	return s.newRoute(&n.query, e, of), forgotten, nil
}

// stateFor returns the state of a key: the one there is, or made, which goes by the bindings that were in force a moment ago and is
// brought up to date. It expects the lock.
func (s *Table) stateFor(k stateKey, made *state, of versions) *state {
	st := s.states.find(k)
	if st != nil {
		return st
	}
	if made == nil { // there was one a moment ago
		made = s.newState(k, of)
	}
	made.cluster.Update(of.hosts(k.destination))
	made.configure(of)
	made.setMembers()
	made.verdicts = s.verdicts
	s.states.add(made)
	return made
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
	if e.affinity != nil {
		s.affinities.leave(e.affinity)
	}
	if t := s.PodRoutes(e.pod); t != nil {
		t.forget(e)
	}
	e.state.dropPod(e.pod)
	s.leaveShadows(e)
	return s.pools.Remove(s.poolKey(e))
}

func (s *Table) poolKey(e *entry) upstream.Key {
	return upstream.Key{Pod: e.pod, Binding: e.key.binding, Destination: e.key.destination, Way: e.key.way}
}

// newRoute makes a route of an entry. It expects the lock.
func (s *Table) newRoute(q *query, e *entry, of versions) *Route {
	b := q.candidate.Binding
	r := &Route{Binding: b, Pool: e.pool, table: s, entry: e, would: q.would, plans: make([]Plan, len(b.rules)+1)}
	if s.names != nil {
		_, r.named = b.nameOf(e.key.destination)
	}
	r.authority = b.authorityOf(e.key.destination, e.key.way.Secured())
	for i := range r.plans {
		r.plans[i] = e.plan(b, of, i, false)
		if s.traces {
			r.plans[i].Tracing = b.at(i).values.Tracing
		}
	}
	if q.would.Binding != nil {
		s.addShadows(r, q.would)
	}
	return r
}

// plan makes a plan of a binding's settings. It expects the lock.
func (e *entry) plan(b *Binding, of versions, i int, opaque bool) Plan {
	values := b.at(i).values
	gates, names := e.state.gates(of, b, i, e.pod, opaque)
	p := newPlan(b.at(i), call.Plan{
		Gates:    gates,
		Settings: values,
		Breaker:  e.state.breaker(of, b, i, breakerKey{pod: e.pod, opaque: opaque}, rand.Float64),
		Budget:   e.state.budget(of, b, i, opaque),
		Adaptive: e.state.adaptiveTimeout(of, b, i, opaque),
		Random:   rand.Float64,
		Faults:   b.at(i).faultsOf(opaque),
	})
	if !opaque { // else there is nothing that could be answered, or sent twice
		p.Fallback = fallbackOf(values.Fallback)
		p.Hedge = call.Hedge{After: values.Retry.Hedging.Delay, Max: values.Retry.Hedging.Max, Latency: e.state.percentile(of, b, i)}
	}
	p.gateNames = names
	p.Endpoints = e.endpointsFor(of, b, i, opaque)
	return p
}

// fallbackOf returns what a call does that falls back; f is nil where none does.
func fallbackOf(f *policy.Fallback) *call.Fallback {
	if f == nil || f.Response == nil {
		return nil
	}
	return &call.Fallback{On: f.On, Status: f.Response.Status, GRPCStatus: int(f.Response.GRPCStatus())}
}

// opaquePlan makes what governs the connections of a route that are passed through.
func (s *Table) opaquePlan(r *Route) *Plan {
	var onto *Plan
	if b := r.plans[0].Backup; b != nil {
		onto = b.OpaquePlan()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := r.opaque.Load(); p != nil { // made meanwhile
		return p
	}
	e, of := r.entry, s.bindings[r.Key()]
	if !slices.Contains(of, r.Binding) { // not in force any more: nothing of it is kept
		of = versions{r.Binding}
		e = &entry{pod: e.pod, state: s.newState(e.key, of)}
	}
	p := e.plan(r.Binding, of, 0, true)
	if onto != nil {
		p.Backup = r.plans[0].Backup
		p.Fallback = &call.Fallback{On: p.Settings.Fallback.On, Plan: &onto.Plan}
	}
	if r.shadow != nil {
		if st := s.shadowOf(r.entry, r.would); st != nil {
			p.addShadow(s.shadowPlan(r.entry, st, r.would, 0, &p, true))
		}
	}
	r.opaque.Store(&p)
	return &p
}
