package distribute

import (
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// node is what one agent should have, and the agents that serve it. Guarded by Store.mu.
type node struct {
	name         string
	workloads    map[string]workload // by pod UID
	profiles     map[string]*use
	destinations map[string]int // how many used profiles name it
	sessions     []*session     // oldest first; more than one while an upgrade surges
	last         *session       // the last one that ended, until another one has acknowledged something or lostAt + Grace
	lostAt       time.Time
	madeAt       time.Time
	heard        bool // an agent has acknowledged something since the gate opened
}

// use is that some workloads of a node use a profile. Guarded by Store.mu.
type use struct {
	name      string
	profile   *profile
	workloads int
	fate      fate // what became of the profile on the node; kept up to date by Store.review
}

type workload struct {
	resource *wire.Resource
	profile  string
}

// use counts one more workload of n that uses the profile.
func (s *Store) use(n *node, name string) {
	if u := n.profiles[name]; u != nil {
		u.workloads++
		return
	}
	p := s.profile(name)
	u := &use{name: name, profile: p, workloads: 1, fate: fatePending}
	n.profiles[name] = u
	p.nodes[n.name] = n
	for _, r := range p.policies {
		r.add(n, u.fate)
	}
	s.pending.review[n] = struct{}{}
	s.touch(n, wire.Ref{Kind: wire.Profile, Name: name})
	for _, d := range p.uses {
		s.reach(n, d)
	}
	s.news.add(name)
}

// unuse reverses use.
func (s *Store) unuse(n *node, name string) {
	u := n.profiles[name]
	if u.workloads--; u.workloads > 0 {
		return
	}
	delete(n.profiles, name)
	p := u.profile
	delete(p.nodes, n.name)
	for _, r := range p.policies {
		r.remove(n, u.fate)
	}
	s.touch(n, wire.Ref{Kind: wire.Profile, Name: name})
	for _, d := range p.uses {
		s.unreach(n, d)
	}
	s.news.add(name)
	s.tidyProfile(name, p)
}

// reach counts one more profile used on n that names the destination.
func (s *Store) reach(n *node, name string) {
	if n.destinations[name]++; n.destinations[name] > 1 {
		return
	}
	s.destination(name).nodes[n.name] = n
	s.touch(n, wire.Ref{Kind: wire.Destination, Name: name})
}

// unreach reverses reach.
func (s *Store) unreach(n *node, name string) {
	if n.destinations[name]--; n.destinations[name] > 0 {
		return
	}
	delete(n.destinations, name)
	d := s.destination(name)
	delete(d.nodes, n.name)
	s.touch(n, wire.Ref{Kind: wire.Destination, Name: name})
	s.tidyDestination(name, d)
}

func (s *Store) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		n = &node{name: name, madeAt: time.Now(), workloads: map[string]workload{}, profiles: map[string]*use{}, destinations: map[string]int{}}
		s.nodes[name] = n
	}
	return n
}

func (s *Store) tidyNode(n *node) {
	if len(n.workloads) == 0 && len(n.sessions) == 0 && n.last == nil {
		delete(s.nodes, n.name)
	}
}

// touch marks ref as changed for the node's agents by the publication under way.
func (s *Store) touch(n *node, ref wire.Ref) {
	for _, c := range n.sessions {
		if c.idle() {
			c.sure, c.behindSince = s.revision-1, time.Now()
		}
		c.touch(ref)
		s.reviewIfRefused(c, ref)
	}
	if n.last != nil {
		s.reviewIfRefused(n.last, ref)
	}
}

// reviewIfRefused has the node reviewed if c refused a version of ref: another one may be wanted now.
func (s *Store) reviewIfRefused(c *session, ref wire.Ref) {
	if _, refused := c.rejected[ref]; refused {
		s.pending.review[c.node] = struct{}{}
	}
}

// wanted returns the resource n should have under ref, or nil.
func (s *Store) wanted(n *node, ref wire.Ref) *wire.Resource {
	switch ref.Kind {
	case wire.Workload:
		return n.workloads[ref.Name].resource
	case wire.Profile:
		if u := n.profiles[ref.Name]; u != nil {
			return u.profile.resource
		}
	case wire.Destination:
		if n.destinations[ref.Name] > 0 {
			return s.destinations[ref.Name].resource
		}
	}
	return nil
}

// refs returns the name of everything n should have, published or not.
func (n *node) refs() []wire.Ref {
	out := make([]wire.Ref, 0, len(n.workloads)+len(n.profiles)+len(n.destinations))
	for name := range n.workloads {
		out = append(out, wire.Ref{Kind: wire.Workload, Name: name})
	}
	for name := range n.profiles {
		out = append(out, wire.Ref{Kind: wire.Profile, Name: name})
	}
	for name := range n.destinations {
		out = append(out, wire.Ref{Kind: wire.Destination, Name: name})
	}
	return out
}
