package index

import (
	"maps"

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
	changed, adopted := !maps.Equal(old.Labels, p.Labels), old.owner() != p.owner()
	old.Labels, old.Owner = p.Labels, p.Owner
	if changed {
		x.selectPod(ns, old, nil)
	}
	if adopted && old.profile != nil {
		x.changes.workload(old)
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
