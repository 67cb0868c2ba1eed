package distribute

import (
	"maps"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// StoreOptions configure a Store. Zero values choose the defaults.
type StoreOptions struct {
	// Notify is told the names of profiles whose rollout changed, sorted, from a goroutine of Server.Run. While it runs further
	// names are collected.
	Notify func(profiles []string)
	// NotifyInterval is the least time between two calls of Notify. Default 100 ms; the
	// first news after a pause is told at once.
	NotifyInterval time.Duration
	// Grace is how long what a disconnected agent acknowledged still counts: agents reconnect all the time. Default 15 s.
	Grace time.Duration
	// StartGrace is how long after the gate opened a node not heard of is Unknown instead of Pending. Default 30 s.
	StartGrace time.Duration
}

// Store holds the resources in encoded form, who should have them, and who has them. Its methods may be called from any goroutine.
// The work of a change is proportional to the nodes and resources it concerns.
type Store struct {
	opts    StoreOptions // immutable after NewStore
	gate    Gate
	traffic *traffic
	news    *news

	mu sync.Mutex
	// guarded by mu
	nodes        map[string]*node
	workloads    map[string]*node // by pod UID
	profiles     map[string]*profile
	destinations map[string]*destination
	policies     map[policy.ID]*policyRollout // that profiles are drawn from
	connections  uint64                       // counts sessions, for their order
	revision     uint64                       // counts publications
	unpublished  map[string]struct{}          // destinations whose latest version cannot be published
	settled      bool                         // StartGrace is over
	departures   []departure                  // oldest first
	pending      publication                  // the one under way
}

// publication is what a publication under way has yet to settle.
type publication struct {
	forgotten []map[trafficKey]struct{} // destinations of policies that it takes away
	redrawn   []*profile                // set by it, changed or not
	review    map[*node]struct{}        // nodes of which something else has changed that rollouts depend on
}

// profile exists while it has a resource, a user or a reason to have no resource. Guarded by Store.mu.
type profile struct {
	name     string
	resource *wire.Resource // nil: used but not published
	uses     []string       // destinations
	keys     map[trafficKey]struct{}
	policies []*policyRollout // it is drawn from
	nodes    map[string]*node
	why      error  // the latest version cannot be published; resource is an older one
	drawn    uint64 // the last publication that set it, changed or not
}

// destination exists while it has a resource, a user or a reason to have no resource. Guarded by Store.mu.
type destination struct {
	resource *wire.Resource // nil: used but not published
	former   former
	nodes    map[string]*node
	why      error // as for a profile
}

// NewStore returns an empty store with its gate shut.
func NewStore(opts StoreOptions) *Store {
	if opts.Notify == nil {
		opts.Notify = func([]string) {}
	}
	for d, def := range map[*time.Duration]time.Duration{
		&opts.NotifyInterval: 100 * time.Millisecond, &opts.Grace: 15 * time.Second, &opts.StartGrace: 30 * time.Second,
	} {
		if *d == 0 {
			*d = def
		}
	}
	return &Store{
		opts: opts, traffic: newTraffic(), news: newNews(),
		nodes: map[string]*node{}, workloads: map[string]*node{}, profiles: map[string]*profile{}, destinations: map[string]*destination{},
		policies: map[policy.ID]*policyRollout{}, unpublished: map[string]struct{}{},
	}
}

// Gate returns the gate that lets agents in.
func (s *Store) Gate() *Gate { return &s.gate }

// Publish makes the changes of b visible to agents, all at once. The error names resources that could not be encoded; they
// keep their previous version, which for profiles counts as a failure of their nodes, and everything else in b is published.
func (s *Store) Publish(b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.pending = publication{review: map[*node]struct{}{}}
	for i := range b.changes {
		s.apply(&b.changes[i])
	}
	s.settle()
	return b.err()
}

// settle does what can be done only when all changes of a publication are known.
func (s *Store) settle() {
	// A policy may only have moved from one profile to another.
	for _, keys := range s.pending.forgotten {
		s.traffic.forget(keys)
	}
	for _, p := range s.pending.redrawn {
		for _, n := range p.nodes {
			s.reviewUse(n, n.profiles[p.name])
		}
	}
	for n := range s.pending.review {
		s.review(n)
	}
	s.pending = publication{}
}

func (s *Store) apply(c *change) {
	switch c.ref.Kind {
	case wire.Workload:
		s.applyWorkload(c)
	case wire.Profile:
		s.applyProfile(c)
	case wire.Destination:
		s.applyDestination(c)
	}
}

func (s *Store) applyWorkload(c *change) {
	uid := c.ref.Name
	before := s.workloads[uid]
	var old workload
	if before != nil {
		old = before.workloads[uid]
	}
	if c.resource == nil {
		if before != nil {
			delete(s.workloads, uid)
			delete(before.workloads, uid)
			s.touch(before, c.ref)
			s.unuse(before, old.profile)
			s.tidyNode(before)
		}
		return
	}
	n := s.node(c.node)
	if before == n && old.resource.Version == c.resource.Version {
		return
	}
	// The new profile is used before the old one is let go, so that what both share is not taken away in between.
	s.workloads[uid] = n
	n.workloads[uid] = workload{resource: c.resource, profile: c.profile}
	s.touch(n, c.ref)
	s.use(n, c.profile)
	if before == nil {
		return
	}
	if before != n {
		delete(before.workloads, uid)
		s.touch(before, c.ref)
	}
	s.unuse(before, old.profile)
	s.tidyNode(before)
}

func (s *Store) applyProfile(c *change) {
	name := c.ref.Name
	p := s.profile(name)
	p.drawn = s.revision
	s.pending.redrawn = append(s.pending.redrawn, p)
	if c.policies != nil {
		s.setPolicies(p, c.policies)
	}
	if p.why = c.why; c.why != nil {
		s.news.add(name)
		return
	}
	if p.resource != nil && c.resource != nil && p.resource.Version == c.resource.Version {
		s.news.add(name) // it may not have been publishable in between
		return
	}
	oldUses, oldKeys := p.uses, p.keys
	p.resource, p.uses, p.keys = c.resource, c.uses, make(map[trafficKey]struct{}, len(c.keys))
	for _, k := range c.keys {
		p.keys[k] = struct{}{}
	}
	s.traffic.know(p.keys)
	s.pending.forgotten = append(s.pending.forgotten, oldKeys)
	for _, n := range p.nodes {
		s.touch(n, c.ref)
		for _, d := range p.uses {
			s.reach(n, d)
		}
		for _, d := range oldUses {
			s.unreach(n, d)
		}
	}
	s.news.add(name)
	s.tidyProfile(name, p)
}

func (s *Store) applyDestination(c *change) {
	d := s.destination(c.ref.Name)
	if d.why != nil || c.why != nil {
		for _, n := range d.nodes {
			s.tell(n, c.ref)
			s.pending.review[n] = struct{}{}
		}
	}
	if d.why = c.why; c.why != nil {
		s.unpublished[c.ref.Name] = struct{}{}
		return
	}
	delete(s.unpublished, c.ref.Name)
	if d.resource != nil && c.resource != nil && d.resource.Version == c.resource.Version {
		return
	}
	d.former.replace(d.resource, c.resource)
	d.resource = c.resource
	for _, n := range d.nodes {
		s.touch(n, c.ref)
	}
	s.tidyDestination(c.ref.Name, d)
}

func (s *Store) profile(name string) *profile {
	p := s.profiles[name]
	if p == nil {
		p = &profile{name: name, nodes: map[string]*node{}}
		s.profiles[name] = p
	}
	return p
}

func (s *Store) destination(name string) *destination {
	d := s.destinations[name]
	if d == nil {
		d = &destination{nodes: map[string]*node{}}
		s.destinations[name] = d
	}
	return d
}

func (s *Store) tidyProfile(name string, p *profile) {
	if p.resource == nil && p.why == nil && len(p.nodes) == 0 {
		s.setPolicies(p, nil)
		delete(s.profiles, name)
	}
}

func (s *Store) tidyDestination(name string, d *destination) {
	if d.resource == nil && d.why == nil && len(d.nodes) == 0 {
		delete(s.destinations, name)
	}
}

// Size counts what the store holds, for metrics and debugging.
type Size struct {
	Nodes, Workloads, Profiles, Destinations, Agents int
}

// Size returns how much the store holds.
func (s *Store) Size() Size {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := Size{Nodes: len(s.nodes), Workloads: len(s.workloads), Profiles: len(s.profiles), Destinations: len(s.destinations)}
	for _, n := range s.nodes {
		z.Agents += len(n.sessions)
	}
	return z
}

// ConnectedNodes returns the nodes whose agent is connected, sorted.
func (s *Store) ConnectedNodes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.nodes)) {
		if len(s.nodes[name].sessions) > 0 {
			out = append(out, name)
		}
	}
	return out
}
