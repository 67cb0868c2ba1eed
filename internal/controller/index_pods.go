package controller

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// setNamespace adds or changes a namespace.
func (x *index) setNamespace(name string, l labels.Set) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespace(name)
	if ns.exists && maps.Equal(ns.labels, l) {
		return
	}
	ns.exists, ns.labels = true, l
	if x.selectClusterPolicies(ns) {
		x.reselect(ns)
	}
}

// deleteNamespace removes a namespace. Its pods and policies say their own goodbyes.
func (x *index) deleteNamespace(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ns := x.namespaces[name]; ns != nil {
		ns.exists, ns.labels = false, nil
		if x.selectClusterPolicies(ns) {
			x.reselect(ns)
		}
		x.tidy(ns)
	}
}

// selectClusterPolicies finds the cluster policies that select ns and reports whether they changed.
func (x *index) selectClusterPolicies(ns *namespace) bool {
	var selected []*record
	for _, r := range x.cluster {
		if ns.exists && ns.name != x.exempt && r.active != nil && r.active.Namespaces.Matches(ns.labels) {
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

// setPod adds or changes a pod.
func (x *index) setPod(p Pod) {
	if p.Namespace == x.exempt {
		return
	}
	if !p.Running {
		x.deletePod(p.Namespace, p.Name)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespace(p.Namespace)
	old := ns.pods[p.Name]
	if old != nil && (old.UID != p.UID || old.Node != p.Node || old.HostNetwork != p.HostNetwork) {
		x.dropPod(ns, old)
		old = nil
	}
	if old == nil {
		old = &pod{Pod: p}
		ns.pods[p.Name] = old
		x.selectPod(ns, old)
		return
	}
	if !maps.Equal(old.Labels, p.Labels) {
		old.Labels = p.Labels
		x.selectPod(ns, old)
		return
	}
	old.Labels = p.Labels
}

// deletePod removes a pod.
func (x *index) deletePod(namespace, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[namespace]
	if ns == nil || ns.pods[name] == nil {
		return
	}
	x.dropPod(ns, ns.pods[name])
	x.tidy(ns)
}

func (x *index) dropPod(ns *namespace, p *pod) {
	x.setSelected(p, nil)
	x.setProfile(p, nil)
	delete(ns.pods, p.Name)
}

// reselect looks at all pods of a namespace again.
func (x *index) reselect(ns *namespace) {
	for _, p := range ns.pods {
		x.selectPod(ns, p)
	}
}

// selectPod finds the policies that select p, and the profile that follows.
func (x *index) selectPod(ns *namespace, p *pod) {
	var selected, acting []*record
	relative := false
	for _, list := range [][]*record{ns.policies, ns.cluster} {
		for _, r := range list {
			if r.active == nil || !r.active.Pods.Matches(p.Labels) {
				continue
			}
			selected = append(selected, r)
			if r.acts() {
				acting = append(acting, r)
				relative = relative || r.active.Relative()
			}
		}
	}
	x.setSelected(p, selected)
	if p.HostNetwork || len(acting) == 0 {
		x.setProfile(p, nil)
		return
	}
	slices.SortFunc(acting, compareRecords)
	x.setProfile(p, x.profileOf(ns, acting, relative))
}

// setSelected records which policies select p.
func (x *index) setSelected(p *pod, selected []*record) {
	if slices.Equal(p.selected, selected) {
		return
	}
	count := func(r *record, n int) {
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

// profileOf returns the profile of these policies.
func (x *index) profileOf(ns *namespace, members []*record, relative bool) *profile {
	ids := make([]policy.ID, len(members))
	for i, r := range members {
		ids[i] = r.id
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
func (x *index) setProfile(p *pod, to *profile) {
	from := p.profile
	if from == to {
		return
	}
	if to != nil {
		x.join(to, p.Node)
	}
	if from != nil {
		x.leave(from, p.Node)
	}
	p.profile = to
	x.changes.workloads[p.UID] = p
	if to == nil {
		x.changes.workloads[p.UID] = nil
	}
}

func (x *index) join(pr *profile, node string) {
	if pr.pods++; pr.pods == 1 {
		x.changes.profile(pr)
		pr.forgetDerived()
		for _, r := range pr.members {
			r.profiles[pr] = struct{}{}
			x.changes.status(r)
		}
	}
	if pr.nodes[node]++; pr.nodes[node] == 1 {
		pr.statuses(&x.changes)
	}
}

func (x *index) leave(pr *profile, node string) {
	if pr.nodes[node]--; pr.nodes[node] == 0 {
		delete(pr.nodes, node)
		pr.statuses(&x.changes)
	}
	if pr.pods--; pr.pods == 0 {
		x.changes.profile(pr)
		pr.forgetDerived()
		for _, r := range pr.members {
			delete(r.profiles, pr)
		}
	}
}

// statuses marks the policies of the profile.
func (pr *profile) statuses(c *changes) {
	for _, r := range pr.members {
		c.status(r)
	}
}
