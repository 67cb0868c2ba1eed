package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// fate is what became of a profile, or of all profiles of a policy, on one node. The worst of the profiles decides.
type fate uint8

const (
	fateProgrammed fate = iota
	fatePending
	fateFailed
	fates
)

// policyRollout is how far a policy has come. It is kept up to date whenever a profile of it meets another fate on a node, so that asking
// costs nothing for nodes that are programmed. Guarded by Store.mu.
type policyRollout struct {
	id       policy.ID
	profiles int // drawn from the policy
	nodes    map[*node]*nodeRollout
	lists    [fates][]*nodeRollout // nodes that are pending, and that failed, in no order; those programmed are only counted
}

// nodeRollout is how far a policy has come on a node that has some of its profiles.
type nodeRollout struct {
	node  *node
	count [fates]int // profiles by fate
	place int        // in the list of its fate
}

func (r *nodeRollout) fate() fate {
	for f := fateFailed; f > fateProgrammed; f-- {
		if r.count[f] > 0 {
			return f
		}
	}
	return fateProgrammed
}

// add counts one more profile of the policy on n.
func (r *policyRollout) add(n *node, f fate) {
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
func (r *policyRollout) remove(n *node, f fate) {
	at := r.nodes[n]
	r.change(at, func() { at.count[f]-- })
	if at.count == [fates]int{} {
		delete(r.nodes, n) // programmed by now, so in no list
	}
}

// move counts a profile of the policy on n under another fate.
func (r *policyRollout) move(n *node, from, to fate) {
	at := r.nodes[n]
	r.change(at, func() { at.count[from]--; at.count[to]++ })
}

// change changes the counts of a node and puts it into the list of its new fate.
func (r *policyRollout) change(at *nodeRollout, counts func()) {
	before := at.fate()
	counts()
	if at.fate() == before {
		return
	}
	if before != fateProgrammed {
		list := r.lists[before]
		last := list[len(list)-1]
		list[at.place], last.place = last, at.place
		list[len(list)-1] = nil
		r.lists[before] = list[:len(list)-1]
	}
	r.list(at)
}

func (r *policyRollout) list(at *nodeRollout) {
	if f := at.fate(); f != fateProgrammed {
		at.place = len(r.lists[f])
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
			r.add(n, n.profiles[p.name].fate)
		}
	}
	for _, r := range old {
		if slices.Contains(p.policies, r) {
			continue
		}
		for _, n := range p.nodes {
			r.remove(n, n.profiles[p.name].fate)
		}
		if r.profiles--; r.profiles == 0 {
			delete(s.policies, r.id)
		}
	}
}

// review looks again at what became of the profiles of n.
func (s *Store) review(n *node) {
	for _, u := range n.profiles {
		s.reviewUse(n, u)
	}
}

// reviewUse looks again at what became of a profile on n. It must be called after whatever judge depends on has changed: which session
// speaks for the node and what that holds, refused and acknowledged; what the profile, its destinations and its pods should be, and
// whether that can be published.
func (s *Store) reviewUse(n *node, u *use) {
	f := s.judge(n, u)
	if f == u.fate {
		return
	}
	for _, r := range u.profile.policies {
		r.move(n, u.fate, f)
	}
	u.fate = f
}

// judge returns what became of a profile on n.
func (s *Store) judge(n *node, u *use) fate {
	p, c := u.profile, n.witness()
	switch {
	case c == nil:
		return fatePending
	case s.unpublishable(p) != nil:
		return fateFailed
	case p.resource == nil:
		return fatePending
	}
	if _, refused := s.refusal(c, p); refused {
		return fateFailed
	}
	if c.held[p.resource.Ref] != p.resource.Version || !c.caughtUp(p.drawn) {
		return fatePending
	}
	return fateProgrammed
}
