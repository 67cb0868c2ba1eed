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
	if r != nil && r.source.Generation == src.Generation && r.source.Forced == src.Forced && r.source.Faults == src.Faults {
		return
	}
	if r == nil {
		r = &policyEntry{id: src.ID, uid: uid, profiles: map[*profile]struct{}{}}
		x.restoreRollout(r, &src)
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
	r.bounds = compile.BoundsOf(&src)
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
	x.readStable(r)
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
	var entries, dry []*policyEntry
	var candidates []compile.Candidate
	for _, r := range list {
		switch {
		case r.source.Enforced():
			entries = append(entries, r)
			candidates = append(candidates, compile.Candidate{ID: r.id, Current: r.current, LastGood: r.lastGood, Held: r.held()})
			continue
		case r.source.Mode == v1alpha1.ModeDryRun:
			dry = append(dry, r)
		default:
			x.setConflict(r, nil)
			x.activate(r, nil)
		}
		r.lastGood = nil
	}
	for i, v := range compile.ResolveConflicts(candidates) {
		r := entries[i]
		x.setConflict(r, v.Conflict)
		r.lastGood = v.InForce
		x.activate(r, v.InForce)
	}
	x.resolveDryRuns(dry, candidates)
}

// resolveDryRuns decides which dry runs take part in what calls would come under: those that would be in force if they were enforced. What is
// enforced is decided without them.
func (x *Index) resolveDryRuns(dry []*policyEntry, candidates []compile.Candidate) {
	if len(dry) == 0 {
		return
	}
	first := len(candidates)
	for _, r := range dry {
		candidates = append(candidates, compile.Candidate{ID: r.id, Current: r.current})
	}
	for i, v := range compile.ResolveConflicts(candidates)[first:] {
		x.setConflict(dry[i], v.Conflict)
		x.activate(dry[i], v.InForce)
	}
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
	before := r.rollout
	stable := r.plan(next)
	if r.active == next && r.stable == stable {
		return
	}
	x.setVersions(r, next, stable, before != r.rollout)
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
