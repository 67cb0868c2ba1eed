package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/wire"
)

// leftOutOn returns the features that a profile and its dependencies need and that the agent of n lacks.
func (s *Store) leftOutOn(n *node, p *profile) wire.Features {
	c := n.effectiveSession()
	if c == nil || p.resource == nil {
		return 0
	}
	out := p.resource.LeftOut(c.features)
	for _, ref := range p.uses {
		if d := s.dependencies[ref]; d != nil && d.resource != nil {
			out |= d.resource.LeftOut(c.features)
		}
	}
	return out
}

// setLeftOut records what is left out of a profile on n.
func (s *Store) setLeftOut(n *node, u *profileUse, features wire.Features) {
	if features == u.leftOut {
		return
	}
	s.changed.add(u.name)
	u.leftOut = features
	for _, r := range u.profile.policies {
		r.updateLeftOut(n)
	}
}

// updateLeftOut joins what is left out of the policy's profiles on n. It must be called after that, or which profiles these are, has changed.
func (r *policyRollout) updateLeftOut(n *node) {
	var all wire.Features
	for _, u := range n.profiles {
		if u.leftOut != 0 && slices.Contains(u.profile.policies, r) {
			all |= u.leftOut
		}
	}
	switch {
	case all == 0:
		delete(r.leftOut, n)
	case r.leftOut == nil:
		r.leftOut = map[*node]wire.Features{n: all}
	default:
		r.leftOut[n] = all
	}
}

// leftOutByFeature counts the nodes whose agent lacks a feature of the policy.
func (r *policyRollout) leftOutByFeature() []LeftOut {
	var out []LeftOut
	for n, features := range r.leftOut {
		for f := range features.All() {
			i, found := slices.BinarySearchFunc(out, f, func(l LeftOut, f wire.Feature) int { return int(l.Feature) - int(f) })
			if !found {
				out = slices.Insert(out, i, LeftOut{Feature: f, Example: n.name})
			}
			out[i].Nodes++
			out[i].Example = min(out[i].Example, n.name)
		}
	}
	return out
}
