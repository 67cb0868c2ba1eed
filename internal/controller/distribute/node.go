package distribute

import (
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// node is a node of the cluster: what its agents should have, and their sessions. Guarded by Store.mu.
type node struct {
	name         string
	workloads    map[string]workload // by pod UID
	profiles     map[string]*profileUse
	unprogrammed []*profileUse    // those of profiles whose state is not programmed, in no order
	reportable   *reportable      // what its agents may report on; nil until it is asked for after a change
	dependencies map[wire.Ref]int // how many used profiles name it
	issuer       *wire.Resource   // its KeyPair of the name policy.IssuerName, if it was issued one
	sessions     []*session       // oldest first; more than one while an upgrade surges
	former       *session         // the last one that ended, until another one has acknowledged something or lostAt + Grace
	lostAt       time.Time
	madeAt       time.Time
	answered     bool // an agent has acknowledged something since serving started
}

// profileUse is that some workloads of a node use a profile. Guarded by Store.mu.
type profileUse struct {
	name      string
	profile   *profile
	workloads int
	state     rolloutState  // of the profile on the node; kept up to date by Store.updateUse, as is leftOut
	leftOut   wire.Features // that the profile and its destinations need, and the node's agent lacks
	index     int           // in node.unprogrammed, unless its state is programmed
}

type workload struct {
	resource *wire.Resource
	profile  string
}

// addUnprogrammed adds u to those that are not programmed.
func (n *node) addUnprogrammed(u *profileUse) {
	u.index = len(n.unprogrammed)
	n.unprogrammed = append(n.unprogrammed, u)
}

// removeUnprogrammed reverses addUnprogrammed.
func (n *node) removeUnprogrammed(u *profileUse) {
	end := len(n.unprogrammed) - 1
	last := n.unprogrammed[end]
	n.unprogrammed[u.index], last.index = last, u.index
	n.unprogrammed[end] = nil
	if n.unprogrammed = n.unprogrammed[:end]; end == 0 {
		n.unprogrammed = nil // at first it holds all that the node has
	}
}

// useProfile counts one more workload of n that uses the profile.
func (s *Store) useProfile(n *node, name string) {
	if u := n.profiles[name]; u != nil {
		u.workloads++
		return
	}
	p := s.profile(name)
	n.reportable = nil
	s.addReportLoad(len(p.keys))
	u := &profileUse{name: name, profile: p, workloads: 1, state: statePending}
	n.profiles[name] = u
	n.addUnprogrammed(u)
	p.nodes[n.name] = n
	for _, r := range p.policies {
		r.add(n, u.state)
	}
	s.pending.update[n] = struct{}{}
	s.markDirty(n, wire.Ref{Kind: wire.Profile, Name: name})
	for _, ref := range p.uses {
		s.useDependency(n, ref)
	}
	if len(p.hosts) > 0 {
		s.wantIssuers()
	}
	for _, c := range n.sessions {
		s.markOpenBreakers(c, p)
	}
	s.changed.add(name)
}

// releaseProfile reverses use.
func (s *Store) releaseProfile(n *node, name string) {
	u := n.profiles[name]
	if u.workloads--; u.workloads > 0 {
		return
	}
	delete(n.profiles, name)
	if u.state != stateProgrammed {
		n.removeUnprogrammed(u)
	}
	p := u.profile
	n.reportable = nil
	s.addReportLoad(-len(p.keys))
	delete(p.nodes, n.name)
	for _, r := range p.policies {
		r.remove(n, u.state)
		if u.leftOut != 0 {
			r.updateLeftOut(n)
		}
	}
	s.markDirty(n, wire.Ref{Kind: wire.Profile, Name: name})
	for _, ref := range p.uses {
		s.releaseDependency(n, ref)
	}
	if len(p.hosts) > 0 {
		s.wantIssuers()
	}
	s.changed.add(name)
	s.tidyProfile(name, p)
}

// useDependency counts one more profile used on n that names the dependency.
func (s *Store) useDependency(n *node, ref wire.Ref) {
	if n.dependencies[ref]++; n.dependencies[ref] > 1 {
		return
	}
	s.dependency(ref).nodes[n.name] = n
	s.markDirty(n, ref)
}

// releaseDependency reverses useDependency.
func (s *Store) releaseDependency(n *node, ref wire.Ref) {
	if n.dependencies[ref]--; n.dependencies[ref] > 0 {
		return
	}
	delete(n.dependencies, ref)
	if ref == issuerRef {
		n.issuer = nil
	}
	d := s.dependency(ref)
	delete(d.nodes, n.name)
	s.markDirty(n, ref)
	s.tidyDependency(ref, d)
}

func (s *Store) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		s.addReportLoad(loadPerNode)
		n = &node{name: name, madeAt: time.Now(), workloads: map[string]workload{}, profiles: map[string]*profileUse{}, dependencies: map[wire.Ref]int{}}
		s.nodes[name] = n
	}
	return n
}

func (s *Store) tidyNode(n *node) {
	if len(n.workloads) == 0 && len(n.sessions) == 0 && n.former == nil {
		delete(s.nodes, n.name)
		s.addReportLoad(-loadPerNode)
	}
}

// markDirty marks ref as changed for the node's agents by the publication in progress.
func (s *Store) markDirty(n *node, ref wire.Ref) {
	for _, c := range n.sessions {
		if c.idle() {
			c.ackedUpTo, c.behindSince = s.revision-1, time.Now()
		}
		c.markDirty(ref)
		s.updateLaterIfRefused(c, ref)
	}
	if n.former != nil {
		s.updateLaterIfRefused(n.former, ref)
	}
}

// updateLaterIfRefused has the node's states updated if c refused a version of ref: another one may be wanted now.
func (s *Store) updateLaterIfRefused(c *session, ref wire.Ref) {
	if _, refused := c.rejected[ref]; refused {
		s.pending.update[c.node] = struct{}{}
	}
}

// wanted returns what the agent of c should have under ref, in the form that it understands, or nil.
func (s *Store) wanted(c *session, ref wire.Ref) *wire.Resource {
	if r := s.published(c.node, ref); r != nil {
		return r.For(c.features)
	}
	return nil
}

// published returns what n should have under ref, in full, or nil.
func (s *Store) published(n *node, ref wire.Ref) *wire.Resource {
	switch ref.Kind {
	case wire.Workload:
		return n.workloads[ref.Name].resource
	case wire.Profile:
		if u := n.profiles[ref.Name]; u != nil {
			return u.profile.resource
		}
	case wire.Destination, wire.Roots, wire.KeyPair, wire.Credentials:
		switch {
		case n.dependencies[ref] == 0:
		case ref == issuerRef:
			return n.issuer
		default:
			return s.dependencies[ref].resource
		}
	}
	return nil
}

// retained reports whether agents of n keep whatever version of ref they have: nothing is known to replace it with yet.
func (s *Store) retained(n *node, ref wire.Ref) bool {
	return n.dependencies[ref] > 0 && (ref == issuerRef || s.dependencies[ref].retained)
}

// refs returns the name of everything n should have, published or not.
func (n *node) refs() []wire.Ref {
	out := make([]wire.Ref, 0, len(n.workloads)+len(n.profiles)+len(n.dependencies))
	for name := range n.workloads {
		out = append(out, wire.Ref{Kind: wire.Workload, Name: name})
	}
	for name := range n.profiles {
		out = append(out, wire.Ref{Kind: wire.Profile, Name: name})
	}
	for ref := range n.dependencies {
		out = append(out, ref)
	}
	return out
}
