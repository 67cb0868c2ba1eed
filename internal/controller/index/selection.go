package index

import (
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// selectClusterPolicies finds the cluster policies that select ns and reports whether they changed.
func (x *Index) selectClusterPolicies(ns *namespace) bool {
	var selected []*policyEntry
	for _, r := range x.cluster {
		if ns.exists && ns.name != x.exempt && r.selectsNamespace(ns.labels) {
			selected = append(selected, r)
		}
	}
	if slices.Equal(selected, ns.cluster) {
		return false
	}
	for _, r := range ns.cluster {
		r.namespaces--
		x.changes.status(r)
	}
	for _, r := range selected {
		r.namespaces++
		x.changes.status(r)
	}
	ns.cluster = selected
	return true
}

// reselect looks at all pods of a namespace again.
func (x *Index) reselect(ns *namespace, cause *policyEntry) {
	for _, p := range ns.pods {
		x.selectPod(ns, p, cause)
	}
}

// selectPod finds the policies that select p, and the profile that follows. Cause is the policy whose change may have changed that; nil if
// it was something else.
func (x *Index) selectPod(ns *namespace, p *pod, cause *policyEntry) {
	var selected []*policyEntry
	var members []member
	relative := false
	for _, list := range [][]*policyEntry{ns.policies, ns.cluster} {
		for _, r := range list {
			m := r.on(p.Node)
			version := m.version()
			if version == nil || !version.Selects(ns.labels, p.Labels) {
				continue
			}
			selected = append(selected, r)
			if version.Enforced() || version.Mode == v1alpha1.ModeDryRun {
				members = append(members, m)
				relative = relative || version.Relative()
			}
		}
	}
	x.setSelected(p, selected)
	if p.HostNetwork || len(members) == 0 {
		x.setProfile(p, nil, cause)
		return
	}
	slices.SortFunc(members, func(a, b member) int { return compareEntries(a.policyEntry, b.policyEntry) })
	x.setProfile(p, x.profileOf(ns, members, relative), cause)
}

// setSelected records which policies select p.
func (x *Index) setSelected(p *pod, selected []*policyEntry) {
	if slices.Equal(p.selected, selected) {
		return
	}
	count := func(r *policyEntry, n int) {
		if p.HostNetwork {
			r.hostNetworkPods += n
		} else {
			r.pods += n
		}
		x.changes.status(r)
	}
	for _, r := range p.selected {
		count(r, -1)
	}
	for _, r := range selected {
		count(r, 1)
	}
	p.selected = selected
}
