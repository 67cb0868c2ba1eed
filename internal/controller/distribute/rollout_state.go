package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// rolloutState is the state of a profile, or of all profiles of a policy, on one node. Of several profiles the worst state counts.
type rolloutState uint8

const (
	stateProgrammed rolloutState = iota
	statePending
	stateFailed
	rolloutStates
)

// policyRollout is how far the distribution of a policy has come. It is updated whenever the state of one of its profiles changes on a node,
// so that asking costs nothing for nodes that are programmed. Guarded by Store.mu.
type policyRollout struct {
	id       policy.ID
	profiles int // in which the policy has a part
	nodes    map[*node]*nodeRollout
	lists    [rolloutStates][]*nodeRollout // nodes that are pending, and that failed, in no order; those programmed are only counted
	leftOut  map[*node]wire.Features       // of the policy's profiles, where it is something
}

// nodeRollout is how far the distribution of a policy has come on a node that has some of its profiles.
type nodeRollout struct {
	node  *node
	count [rolloutStates]int // profiles by state
	index int                // in the list of its state
}

func (r *nodeRollout) state() rolloutState {
	for s := stateFailed; s > stateProgrammed; s-- {
		if r.count[s] > 0 {
			return s
		}
	}
	return stateProgrammed
}

// add counts one more profile of the policy on n.
func (r *policyRollout) add(n *node, s rolloutState) {
	at := r.nodes[n]
	if at == nil {
		at = &nodeRollout{node: n}
		r.nodes[n] = at
		at.count[s]++
		r.list(at)
		return
	}
	r.change(at, func() { at.count[s]++ })
}

// remove reverses add.
func (r *policyRollout) remove(n *node, s rolloutState) {
	at := r.nodes[n]
	r.change(at, func() { at.count[s]-- })
	if at.count == [rolloutStates]int{} {
		delete(r.nodes, n) // programmed by now, so in no list
	}
}

// move counts a profile of the policy on n under another state.
func (r *policyRollout) move(n *node, from, to rolloutState) {
	at := r.nodes[n]
	r.change(at, func() { at.count[from]--; at.count[to]++ })
}

// change changes the counts of a node and moves it to the list of its new state.
func (r *policyRollout) change(at *nodeRollout, counts func()) {
	before := at.state()
	counts()
	if at.state() == before {
		return
	}
	if before != stateProgrammed {
		list := r.lists[before]
		last := list[len(list)-1]
		list[at.index], last.index = last, at.index
		list[len(list)-1] = nil
		r.lists[before] = list[:len(list)-1]
	}
	r.list(at)
}

func (r *policyRollout) list(at *nodeRollout) {
	if s := at.state(); s != stateProgrammed {
		at.index = len(r.lists[s])
		r.lists[s] = append(r.lists[s], at)
	}
}

// setPolicies records which policies have a part in the profile, and reports whether they are others.
func (s *Store) setPolicies(p *profile, ids []policy.ID) bool {
	old := p.policies
	p.policies = make([]*policyRollout, 0, len(ids))
	for _, id := range ids {
		r := s.policies[id]
		if r == nil {
			r = &policyRollout{id: id, nodes: map[*node]*nodeRollout{}}
			s.policies[id] = r
		}
		p.policies = append(p.policies, r)
	}
	for _, r := range p.policies {
		if !slices.Contains(old, r) {
			r.profiles++
			for _, n := range p.nodes {
				r.add(n, n.profiles[p.name].state)
				r.updateLeftOut(n)
			}
		}
	}
	for _, r := range old {
		if !slices.Contains(p.policies, r) {
			for _, n := range p.nodes {
				r.remove(n, n.profiles[p.name].state)
				r.updateLeftOut(n)
			}
			if r.profiles--; r.profiles == 0 {
				delete(s.policies, r.id)
			}
		}
	}
	return !slices.Equal(old, p.policies)
}

// updateNode updates the states of all profiles of n.
func (s *Store) updateNode(n *node) {
	for _, u := range n.profiles {
		s.updateUse(n, u)
	}
}

// updateUnprogrammed updates the states of those profiles of n that are not programmed.
func (s *Store) updateUnprogrammed(n *node) {
	for _, u := range slices.Backward(n.unprogrammed) { // the last one takes the place of one that leaves
		s.updateUse(n, u)
	}
}

// updateUse updates the state of a profile on n. It must be called after anything that stateOf and leftOutOn depend on has changed: the node's
// effective session and what that holds, refused and acknowledged; what the profile, its destinations and its pods should be, and whether
// that can be published.
func (s *Store) updateUse(n *node, u *profileUse) {
	s.looks++
	s.setLeftOut(n, u, s.leftOutOn(n, u.profile))
	state := s.stateOf(n, u)
	if state == u.state {
		return
	}
	for _, r := range u.profile.policies {
		r.move(n, u.state, state)
	}
	switch {
	case u.state == stateProgrammed:
		n.addUnprogrammed(u)
	case state == stateProgrammed:
		n.removeUnprogrammed(u)
	}
	u.state = state
}

// stateOf returns the state of a profile on n.
func (s *Store) stateOf(n *node, u *profileUse) rolloutState {
	p, c := u.profile, n.effectiveSession()
	switch {
	case c == nil:
		return statePending
	case s.unpublishable(p) != nil:
		return stateFailed
	case p.resource == nil:
		return statePending
	}
	if _, refused := s.refusal(c, p); refused {
		return stateFailed
	}
	if want := p.resource.For(c.features); c.held[want.Ref] != want.Version || !c.hasAcked(p.publishedIn) {
		return statePending
	}
	return stateProgrammed
}
