package index

import (
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// SetPolicy adds or changes a policy.
func (x *Index) SetPolicy(uid types.UID, src compile.Source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[src.ID]
	if r != nil && r.uid != uid { // deleted and made again under the same name
		x.dropPolicy(r)
		r = nil
	}
	if r != nil && r.source.Generation == src.Generation && r.source.Forced == src.Forced {
		return
	}
	if r == nil {
		// A manager that comes to lead has not seen the versions before.
		r = &policyEntry{id: src.ID, uid: uid, profiles: map[*profile]struct{}{}, lastGood: compile.RestoreLastGood(src, x.lookup.Service)}
		x.policies[src.ID] = r
		if r.isCluster() {
			x.cluster = insert(x.cluster, r)
		} else {
			ns := x.namespace(src.ID.Namespace)
			ns.policies = insert(ns.policies, r)
		}
	}
	r.source, r.derived = src, nil
	r.warnings, r.unenforced = compile.Warnings(&src), compile.UnenforcedFields(&src)
	x.setReferences(r)
	x.setObjects(r)
	x.read(r)
	x.changes.conflicts[r.id.Namespace] = struct{}{}
}

// DeletePolicy removes a policy.
func (x *Index) DeletePolicy(id policy.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.policies[id]; r != nil {
		x.dropPolicy(r)
	}
}

func (x *Index) dropPolicy(r *policyEntry) {
	delete(x.policies, r.id)
	x.changes.status(r) // also if it never was in force: whoever writes its status has to know
	x.activate(r, nil)
	x.refer(r, nil)
	x.referToObjects(r, nil, nil)
	if r.isCluster() {
		x.cluster = remove(x.cluster, r)
	} else {
		ns := x.namespace(r.id.Namespace)
		ns.policies = remove(ns.policies, r)
	}
	x.changes.conflicts[r.id.Namespace] = struct{}{}
}

func (r *policyEntry) isCluster() bool { return r.id.Kind == policy.KindClusterRetryPolicy }

// read checks the policy as written against the Services it names.
func (x *Index) read(r *policyEntry) {
	r.current, r.problems = compile.Read(r.source, x.lookup.Service, x.lookup.Reference)
	r.expiring = compile.Expiring(&r.source, x.lookup.Reference)
	x.setMaterials(r)
	x.changes.status(r)
}

// resolveConflicts decides which policies of a namespace, or which cluster policies for "", are in force.
func (x *Index) resolveConflicts(namespace string) {
	list := x.cluster
	if namespace != "" {
		ns := x.namespace(namespace)
		defer x.removeIfEmpty(ns)
		list = ns.policies
	}
	var entries []*policyEntry
	var candidates []compile.Candidate
	for _, r := range list {
		if r.source.Enforced() {
			entries = append(entries, r)
			candidates = append(candidates, compile.Candidate{ID: r.id, Current: r.current, LastGood: r.lastGood})
			continue
		}
		x.setConflict(r, nil)
		r.lastGood = nil
		x.activate(r, r.dryRunVersion())
	}
	for i, v := range compile.ResolveConflicts(candidates) {
		r := entries[i]
		x.setConflict(r, v.Conflict)
		r.lastGood = v.InForce
		x.activate(r, v.InForce)
	}
}

// dryRunVersion returns the version of a policy that does not act: a dry run still selects pods.
func (r *policyEntry) dryRunVersion() *compile.Policy {
	if r.source.Mode == v1alpha1.ModeDryRun {
		return r.current
	}
	return nil
}

func (x *Index) setConflict(r *policyEntry, c *compile.Conflict) {
	same := (c == nil) == (r.conflict == nil) && (c == nil || *c == *r.conflict)
	if !same {
		x.changes.status(r)
	}
	r.conflict = c
}

// activate makes next the version of r that selects pods.
func (x *Index) activate(r *policyEntry, next *compile.Policy) {
	last := r.active
	if last == next {
		return
	}
	r.active, r.derived = next, nil
	x.changes.status(r)
	for pr := range r.profiles {
		x.recompile(pr, r)
	}
	x.setReferences(r)
	x.setObjects(r)
	if sameSelection(last, next) {
		return
	}
	if !r.isCluster() {
		x.reselect(x.namespace(r.id.Namespace), r)
		return
	}
	for _, ns := range x.namespaces {
		before := ns.selectedBy(r)
		if x.selectClusterPolicies(ns) || before {
			x.reselect(ns, r)
		}
	}
}

func (ns *namespace) selectedBy(r *policyEntry) bool {
	for _, o := range ns.cluster {
		if o == r {
			return true
		}
	}
	return false
}

// sameSelection reports whether both versions select the same pods, and act on them or not alike.
func sameSelection(a, b *compile.Policy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Enforced() == b.Enforced() && a.Relative() == b.Relative() && a.Pods.String() == b.Pods.String() &&
		(a.Namespaces == nil || a.Namespaces.String() == b.Namespaces.String())
}

// ResolveConflicts decides about all policies that wait for it.
func (x *Index) ResolveConflicts() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resolvePending()
}

func (x *Index) resolvePending() {
	for namespace := range x.changes.conflicts {
		x.resolveConflicts(namespace)
	}
	clear(x.changes.conflicts)
}
