package index

import (
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// profileOf returns the profile of these policies.
func (x *Index) profileOf(ns *namespace, members []member, relative bool) *profile {
	ids := make([]policy.ID, len(members))
	for i, m := range members {
		ids[i] = m.mark()
	}
	namespace := ""
	if relative {
		namespace = ns.name
	}
	name := compile.ProfileName(namespace, ids)
	pr := x.profiles[name]
	if pr == nil {
		pr = &profile{name: name, namespace: namespace, members: members, nodes: map[string]int{}}
		x.profiles[name] = pr
	}
	if pr.pods == 0 {
		pr.members = members // one of them may have been deleted and made again
	}
	return pr
}

// setProfile moves p to another profile.
func (x *Index) setProfile(p *pod, to *profile, cause *policyEntry) {
	from := p.profile
	if from == to {
		return
	}
	if to != nil {
		x.join(to, p, cause)
	}
	if from != nil {
		x.leave(from, p.Node)
	}
	p.profile = to
	x.changes.workload(p)
}

func (x *Index) join(pr *profile, p *pod, cause *policyEntry) {
	if pr.pods++; pr.pods == 1 {
		delete(x.changes.unused, pr.name)
		x.recompile(pr, nil)
		for _, r := range pr.members {
			r.profiles[pr] = struct{}{}
		}
		pr.markStatuses(&x.changes)
	}
	if pr.nodes[p.Node]++; pr.nodes[p.Node] == 1 {
		pr.markStatuses(&x.changes)
	}
	if pr.usable {
		return
	}
	pr.addCause(cause)
	if x.changes.starting[p.UID] == p {
		x.changes.urgent[pr.name] = pr
	}
}

func (x *Index) leave(pr *profile, node string) {
	if pr.nodes[node]--; pr.nodes[node] == 0 {
		delete(pr.nodes, node)
		pr.markStatuses(&x.changes)
	}
	if pr.pods--; pr.pods > 0 {
		return
	}
	// Pods that come later must not be given what it was compiled from so far.
	pr.usable = false
	pr.version++
	pr.clearCauses()
	pr.forgetDerived()
	delete(x.changes.profiles, pr.name)
	delete(x.changes.urgent, pr.name)
	x.changes.unused[pr.name] = pr
	for _, r := range pr.members {
		delete(r.profiles, pr)
	}
}

// recompile marks a profile whose inputs have changed; cause is the policy whose change did that, if it was one.
func (x *Index) recompile(pr *profile, cause *policyEntry) {
	pr.version++
	x.changes.profiles[pr.name] = pr
	pr.addCause(cause)
	pr.forgetDerived()
}

func (pr *profile) addCause(r *policyEntry) {
	if r == nil {
		return
	}
	if _, known := pr.causes[r]; known {
		return
	}
	if pr.causes == nil {
		pr.causes = map[*policyEntry]struct{}{}
	}
	pr.causes[r] = struct{}{}
	r.uncompiled++
}

func (pr *profile) clearCauses() {
	for r := range pr.causes {
		r.uncompiled--
	}
	pr.causes = nil
}

// markStatuses marks the policies of the profile.
func (pr *profile) markStatuses(c *changes) {
	for _, m := range pr.members {
		c.status(m.policyEntry)
	}
}

// setServices replaces the Services that a profile names. Destinations exist while a profile names them.
func (x *Index) setServices(pr *profile, names []string) {
	for _, name := range names {
		refs := x.service(name)
		if refs.profiles++; refs.profiles == 1 {
			x.changes.destinations[name] = struct{}{}
		}
	}
	for _, name := range pr.services {
		refs := x.services[name]
		if refs.profiles--; refs.profiles == 0 {
			x.changes.destinations[name] = struct{}{}
			x.removeServiceIfUnused(name, refs)
		}
	}
	pr.services = names
}
