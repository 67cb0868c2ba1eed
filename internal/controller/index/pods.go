package index

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// SetNamespace adds or changes a namespace.
func (x *Index) SetNamespace(name string, l labels.Set) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespace(name)
	if ns.exists && maps.Equal(ns.labels, l) {
		return
	}
	ns.exists, ns.labels = true, l
	if x.selectClusterPolicies(ns) {
		x.reselect(ns, nil)
	}
}

// DeleteNamespace removes a namespace. Its pods and policies are deleted one by one.
func (x *Index) DeleteNamespace(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ns := x.namespaces[name]; ns != nil {
		ns.exists, ns.labels = false, nil
		if x.selectClusterPolicies(ns) {
			x.reselect(ns, nil)
		}
		x.removeIfEmpty(ns)
	}
}

// selectClusterPolicies finds the cluster policies that select ns and reports whether they changed.
func (x *Index) selectClusterPolicies(ns *namespace) bool {
	var selected []*policyEntry
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

// SetPod adds or changes a pod.
func (x *Index) SetPod(p Pod) {
	if p.Namespace == x.exempt {
		return
	}
	if !p.Running {
		x.DeletePod(p.Namespace, p.Name)
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
		x.resolvePending() // what governs the pod must be known to tell whether it has to wait
		x.startPod(x.namespace(p.Namespace), &pod{Pod: p})
		return
	}
	changed := !maps.Equal(old.Labels, p.Labels)
	old.Labels = p.Labels
	if changed {
		x.selectPod(ns, old, nil)
	}
}

// startPod adds a pod. If its profile is not compiled yet, it is before others.
func (x *Index) startPod(ns *namespace, p *pod) {
	ns.pods[p.Name] = p
	x.changes.starting[p.UID] = p
	x.selectPod(ns, p, nil)
	if p.profile == nil {
		delete(x.changes.starting, p.UID)
	}
}

// DeletePod removes a pod.
func (x *Index) DeletePod(namespace, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[namespace]
	if ns == nil || ns.pods[name] == nil {
		return
	}
	x.dropPod(ns, ns.pods[name])
	x.removeIfEmpty(ns)
}

func (x *Index) dropPod(ns *namespace, p *pod) {
	x.setSelected(p, nil)
	x.setProfile(p, nil, nil)
	delete(ns.pods, p.Name)
	delete(x.changes.starting, p.UID)
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
	var selected, acting []*policyEntry
	relative := false
	for _, list := range [][]*policyEntry{ns.policies, ns.cluster} {
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
		x.setProfile(p, nil, cause)
		return
	}
	slices.SortFunc(acting, compareEntries)
	x.setProfile(p, x.profileOf(ns, acting, relative), cause)
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
