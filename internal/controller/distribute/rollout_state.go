package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// rolloutState is what became of a profile, or of all profiles of a policy, on one node. The worst of the profiles decides.
type rolloutState uint8

const (
	stateProgrammed rolloutState = iota
	statePending
	stateFailed
	rolloutStates
)

// policyRollout is how far a policy has come. It is kept up to date whenever a profile of it meets another fate on a node, so that asking
// costs nothing for nodes that are programmed. Guarded by Store.mu.
type policyRollout struct {
	id       policy.ID
	profiles int // drawn from the policy
	nodes    map[*node]*nodeRollout
	lists    [rolloutStates][]*nodeRollout // nodes that are pending, and that failed, in no order; those programmed are only counted
}

// nodeRollout is how far a policy has come on a node that has some of its profiles.
type nodeRollout struct {
	node  *node
	count [rolloutStates]int // profiles by fate
	index int        // in the list of its fate
}

func (r *nodeRollout) state() rolloutState {
	for f := stateFailed; f > stateProgrammed; f-- {
		if r.count[f] > 0 {
			return f
		}
	}
	return stateProgrammed
}

// add counts one more profile of the policy on n.
func (r *policyRollout) add(n *node, f rolloutState) {
	at := r.nodes[n]
	if at == nil {
		at = &nodeRollout{node: n}
		r.nodes[n] = at
		at.count[f]++
		r.list(at)
		return
	}
	r.change(at, func() { at.count[f]++ })
}

// remove reverses add.
func (r *policyRollout) remove(n *node, f rolloutState) {
	at := r.nodes[n]
	r.change(at, func() { at.count[f]-- })
	if at.count == [rolloutStates]int{} {
		delete(r.nodes, n) // programmed by now, so in no list
	}
}

// move counts a profile of the policy on n under another fate.
func (r *policyRollout) move(n *node, from, to rolloutState) {
	at := r.nodes[n]
	r.change(at, func() { at.count[from]--; at.count[to]++ })
}

// change changes the counts of a node and puts it into the list of its new fate.
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
	if f := at.state(); f != stateProgrammed {
		at.index = len(r.lists[f])
		r.lists[f] = append(r.lists[f], at)
	}
}

// setPolicies says which policies the profile is drawn from.
func (s *Store) setPolicies(p *profile, ids []policy.ID) {
	old := p.policies
	p.policies = nil
	for _, id := range ids {
		r := s.policies[id]
		if r == nil {
			r = &policyRollout{id: id, nodes: map[*node]*nodeRollout{}}
			s.policies[id] = r
		}
		p.policies = append(p.policies, r)
		if slices.Contains(old, r) {
			continue
		}
		r.profiles++
		for _, n := range p.nodes {
			r.add(n, n.profiles[p.name].state)
		}
	}
	for _, r := range old {
		if slices.Contains(p.policies, r) {
			continue
		}
		for _, n := range p.nodes {
			r.remove(n, n.profiles[p.name].state)
		}
		if r.profiles--; r.profiles == 0 {
			delete(s.policies, r.id)
		}
	}
}

// updateNode looks again at what became of the profiles of n.
func (s *Store) updateNode(n *node) {
	for _, u := range n.profiles {
		s.updateUse(n, u)
	}
}

// updateUse looks again at what became of a profile on n. It must be called after whatever judge depends on has changed: which session
// speaks for the node and what that holds, refused and acknowledged; what the profile, its destinations and its pods should be, and
// whether that can be published.
func (s *Store) updateUse(n *node, u *profileUse) {
	f := s.stateOf(n, u)
	if f == u.state {
		return
	}
	for _, r := range u.profile.policies {
		r.move(n, u.state, f)
	}
	u.state = f
}

// stateOf returns what became of a profile on n.
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
	if c.held[p.resource.Ref] != p.resource.Version || !c.hasAcked(p.publishedIn) {
		return statePending
	}
	return stateProgrammed
}
