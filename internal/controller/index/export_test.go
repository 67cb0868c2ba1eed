package index

import "fairlead.dev/fairlead/internal/policy"

// ForgetDerived has the next view of a policy worked out anew: what follows from its profiles and, with overlaps, from other policies.
func (x *Index) ForgetDerived(id policy.ID, overlaps bool) {
	r := x.policies[id]
	if r.derived = nil; overlaps {
		r.overlaps = nil
	}
}

// PolicyIDs returns the policies that are known.
func (x *Index) PolicyIDs() []policy.ID {
	var out []policy.ID
	for id := range x.policies {
		out = append(out, id)
	}
	return out
}

// Remembered counts all that is remembered.
func (x *Index) Remembered() int {
	c := &x.changes
	return len(x.namespaces) + len(x.policies) + len(x.cluster) + len(x.services) + len(x.profiles) + len(x.inPublication) +
		len(c.conflicts) + len(c.profiles) + len(c.urgent) + len(c.unused) + len(c.workloads) + len(c.starting) + len(c.destinations) + len(c.statuses)
}
