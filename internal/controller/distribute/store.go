package distribute

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// StoreOptions configure a Store. Zero values choose the defaults.
type StoreOptions struct {
	// Notify is called with the names of profiles whose rollout changed, sorted, from a goroutine of Server.Run. While it runs further
	// names are collected.
	Notify func(profiles []string)
	// NotifyInterval is the least time between two calls of Notify. Default 100 ms; the first change after a pause is passed on at once.
	NotifyInterval time.Duration
	// Acknowledged is called when an agent has acknowledged an update, with the time since the first publication that the update is about.
	Acknowledged func(time.Duration)
	// Flows is called with who has called what, as an agent reports it, each report once. Nil: agents are not asked for it.
	Flows func(now time.Time, flows []policy.Flow)
	// AgentChanged is called when an agent has connected, or has gone. It must not block, nor call the Store.
	AgentChanged func(node, version string, connected bool)
	// Grace is how long what a disconnected agent acknowledged still counts: agents reconnect all the time. Default 15 s.
	Grace time.Duration
	// StartGrace is how long after serving started a node whose agent has acknowledged nothing is Unknown instead of Pending. Default 30 s.
	StartGrace time.Duration
}

// Store holds the resources in encoded form, who should have them, and who has them. Its methods may be called from any goroutine.
// The work of a change is proportional to the nodes and resources it concerns.
type Store struct {
	opts     StoreOptions // immutable after NewStore
	serving  ServingSwitch
	traffic  *traffic
	interval atomic.Int64 // of reports, a duration
	changed  *changedProfiles
	limits   *limitDivider

	mu sync.Mutex
	// guarded by mu
	nodes          map[string]*node
	workloads      map[string]*node // by pod UID
	profiles       map[string]*profile
	dependencies   map[wire.Ref]*dependency
	policies       map[policy.ID]*policyRollout // that have a part in profiles
	connections    uint64                       // counts sessions, for their order
	revision       uint64                       // counts publications
	unpublished    map[wire.Ref]struct{}        // dependencies whose latest version cannot be published
	reportLoad     int                          // entries that the reports of all agents have at most
	graceOver      bool                         // StartGrace is over
	disconnections []disconnection              // oldest first
	pending        publication                  // the one in progress
	looks          uint64                       // counts those at the state of a profile on a node, for tests
	shared         sharedBreakers
	wantIssuers    func() // tells whoever issues that nodes need issuers, or for other hosts
}

// publication is what remains to be done when all changes of the publication in progress have been applied.
type publication struct {
	droppedKeys []map[trafficKey]*sum // destinations of policies that it takes away
	profiles    []*profile            // set by it, changed or not
	update      map[*node]struct{}    // nodes of which something else has changed that rollouts depend on
}

// profile exists while it has a resource, a user or a reason to have no resource. Guarded by Store.mu.
type profile struct {
	name        string
	resource    *wire.Resource                       // nil: used but not published
	uses        []wire.Ref                           // its dependencies, sorted
	hosts       []string                             // whose TLS it intercepts, sorted
	shared      map[string]map[string]policy.Breaker // see sharedBreakersOf
	limits      map[string]policy.Share              // that the cluster shares, by name
	keys        map[trafficKey]*sum                  // under which its traffic is reported
	policies    []*policyRollout                     // that have a part in it
	nodes       map[string]*node
	err         error  // the latest version cannot be published; resource is an older one
	publishedIn uint64 // the last publication that set it, changed or not
}

// dependency is a destination or something else that profiles refer to. It exists while it has a resource, a user or a reason to have no
// resource. Guarded by Store.mu.
type dependency struct {
	resource *wire.Resource // nil: used but not published
	retained bool           // it is not known: agents keep what they have
	history  history        // of a destination
	nodes    map[string]*node
	err      error // as for a profile
}

// NewStore returns an empty store that is not serving.
func NewStore(opts StoreOptions) *Store {
	if opts.Notify == nil {
		opts.Notify = func([]string) {}
	}
	if opts.Acknowledged == nil {
		opts.Acknowledged = func(time.Duration) {}
	}
	for d, def := range map[*time.Duration]time.Duration{
		&opts.NotifyInterval: 100 * time.Millisecond, &opts.Grace: 15 * time.Second, &opts.StartGrace: 30 * time.Second,
	} {
		if *d == 0 {
			*d = def
		}
	}
	s := &Store{
		opts: opts, traffic: newTraffic(), changed: newChangedProfiles(), limits: newLimitDivider(),
		nodes: map[string]*node{}, workloads: map[string]*node{}, profiles: map[string]*profile{}, dependencies: map[wire.Ref]*dependency{},
		policies: map[policy.ID]*policyRollout{}, unpublished: map[wire.Ref]struct{}{}, wantIssuers: func() {},
		shared: newSharedBreakers(),
	}
	s.addReportLoad(0)
	return s
}

// Serving returns the switch that says whether agents are served.
func (s *Store) Serving() *ServingSwitch { return &s.serving }

// Publish makes the changes of b visible to agents, all at once. The error names resources that could not be encoded; they
// keep their previous version, which for profiles counts as a failure of their nodes, and everything else in b is published.
func (s *Store) Publish(b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.pending = publication{update: map[*node]struct{}{}}
	for i := range b.changes {
		s.apply(&b.changes[i])
	}
	s.finishPublication()
	return b.err()
}

// finishPublication does what can be done only when all changes of a publication are known.
func (s *Store) finishPublication() {
	// A policy may only have moved from one profile to another.
	for _, keys := range s.pending.droppedKeys {
		s.traffic.removeKeys(keys)
	}
	for _, p := range s.pending.profiles {
		for _, n := range p.nodes {
			s.updateUse(n, n.profiles[p.name])
		}
	}
	for n := range s.pending.update {
		s.updateNode(n)
	}
	s.pending = publication{}
}

func (s *Store) apply(c *change) {
	switch c.ref.Kind {
	case wire.Workload:
		s.applyWorkload(c)
	case wire.Profile:
		s.applyProfile(c)
	case wire.Destination, wire.Roots, wire.KeyPair, wire.Credentials:
		s.applyDependency(c)
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
			s.markDirty(before, c.ref)
			s.releaseProfile(before, old.profile)
			s.tidyNode(before)
		}
		return
	}
	n := s.node(c.node)
	if before == n && old.resource.Version == c.resource.Version {
		return
	}
	// The new profile is used before the old one is released, so that what both have is not removed in between.
	s.workloads[uid] = n
	n.workloads[uid] = workload{resource: c.resource, profile: c.profile}
	s.markDirty(n, c.ref)
	s.useProfile(n, c.profile)
	if before == nil {
		return
	}
	if before != n {
		delete(before.workloads, uid)
		s.markDirty(before, c.ref)
	}
	s.releaseProfile(before, old.profile)
	s.tidyNode(before)
}

func (s *Store) applyProfile(c *change) {
	name := c.ref.Name
	p := s.profile(name)
	p.publishedIn = s.revision
	s.pending.profiles = append(s.pending.profiles, p)
	if c.policies != nil && s.setPolicies(p, c.policies) {
		p.forgetReportable()
	}
	if p.err = c.err; c.err != nil {
		s.changed.add(name)
		return
	}
	if p.resource != nil && c.resource != nil && p.resource.Version == c.resource.Version {
		s.changed.add(name) // it may not have been publishable in between
		return
	}
	oldUses := p.uses
	if !slices.Equal(p.hosts, c.hosts) {
		s.wantIssuers()
	}
	p.resource, p.uses, p.hosts = c.resource, c.uses, c.hosts
	if !maps.Equal(p.limits, c.limits) {
		p.limits = c.limits
		p.forgetReportable()
	}
	s.setKeys(p, c.keys)
	s.setShared(p, c.shared)
	for _, n := range p.nodes {
		s.markDirty(n, c.ref)
		for _, ref := range p.uses {
			s.useDependency(n, ref)
		}
		for _, ref := range oldUses {
			s.releaseDependency(n, ref)
		}
	}
	s.changed.add(name)
	s.tidyProfile(name, p)
}

// setKeys records under which keys the traffic of the profile is reported.
func (s *Store) setKeys(p *profile, keys []trafficKey) {
	old := p.keys
	p.keys = s.traffic.addKeys(keys)
	s.pending.droppedKeys = append(s.pending.droppedKeys, old)
	if !maps.Equal(old, p.keys) {
		s.addReportLoad(len(p.nodes) * (len(p.keys) - len(old)))
		p.forgetReportable()
	}
}

// forgetReportable has what the agents of the profile's nodes may report on be found out again.
func (p *profile) forgetReportable() {
	for _, n := range p.nodes {
		n.reportable = nil
	}
}

func (s *Store) applyDependency(c *change) {
	d := s.dependency(c.ref)
	if d.err != nil || c.err != nil {
		for _, n := range d.nodes {
			s.markChanged(n, c.ref)
			s.pending.update[n] = struct{}{}
		}
	}
	if d.err = c.err; c.err != nil {
		s.unpublished[c.ref] = struct{}{}
		return
	}
	delete(s.unpublished, c.ref)
	d.retained = c.retained
	if d.resource != nil && c.resource != nil && d.resource.Version == c.resource.Version {
		return
	}
	needsChanged := needsOf(d.resource) != needsOf(c.resource)
	if c.ref.Kind == wire.Destination {
		d.history.replace(d.resource, c.resource)
	}
	d.resource = c.resource
	for _, n := range d.nodes {
		s.markDirty(n, c.ref)
		if needsChanged {
			s.pending.update[n] = struct{}{}
		}
	}
	s.tidyDependency(c.ref, d)
}

func needsOf(r *wire.Resource) wire.Features {
	if r == nil {
		return 0
	}
	return r.Needs()
}

func (s *Store) profile(name string) *profile {
	p := s.profiles[name]
	if p == nil {
		p = &profile{name: name, nodes: map[string]*node{}}
		s.profiles[name] = p
	}
	return p
}

func (s *Store) dependency(ref wire.Ref) *dependency {
	d := s.dependencies[ref]
	if d == nil {
		d = &dependency{nodes: map[string]*node{}}
		s.dependencies[ref] = d
	}
	return d
}

func (s *Store) tidyProfile(name string, p *profile) {
	if p.resource == nil && p.err == nil && len(p.nodes) == 0 {
		s.setPolicies(p, nil)
		s.setShared(p, nil)
		delete(s.profiles, name)
	}
}

func (s *Store) tidyDependency(ref wire.Ref, d *dependency) {
	if d.resource == nil && d.err == nil && !d.retained && len(d.nodes) == 0 {
		delete(s.dependencies, ref)
	}
}

// Size counts what the store holds, for metrics and debugging.
type Size struct {
	Nodes, Workloads, Profiles, Destinations, Agents int
	// WithoutAgent are the nodes with workloads that no agent is connected from, while agents are served.
	WithoutAgent int
}

// Size returns how much the store holds.
func (s *Store) Size() Size {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := Size{Nodes: len(s.nodes), Workloads: len(s.workloads), Profiles: len(s.profiles)}
	for ref := range s.dependencies {
		if ref.Kind == wire.Destination {
			z.Destinations++
		}
	}
	_, serving := s.serving.current()
	for _, n := range s.nodes {
		z.Agents += len(n.sessions)
		if serving && len(n.workloads) > 0 && len(n.sessions) == 0 {
			z.WithoutAgent++
		}
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
