package controller

import (
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// setPolicy adds or changes a policy.
func (x *index) setPolicy(uid types.UID, src compile.Source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[src.ID]
	if r != nil && r.uid != uid { // deleted and made again under the same name
		x.dropPolicy(r)
		r = nil
	}
	if r != nil && r.source.Generation == src.Generation {
		return
	}
	if r == nil {
		// A manager that comes to lead has not seen the versions before.
		r = &record{id: src.ID, uid: uid, profiles: map[*profile]struct{}{}, lastGood: compile.RestoreLastGood(src, x.facts.Service)}
		x.policies[src.ID] = r
		if r.isCluster() {
			x.cluster = insert(x.cluster, r)
		} else {
			ns := x.namespace(src.ID.Namespace)
			ns.policies = insert(ns.policies, r)
		}
	}
	r.source, r.derived = src, nil
	r.notes, r.gaps = compile.Warnings(&src), compile.UnenforcedFields(&src)
	x.refer(r, compile.Services(&r.source))
	x.read(r)
	x.changes.settle[r.id.Namespace] = struct{}{}
}

// deletePolicy removes a policy.
func (x *index) deletePolicy(id policy.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.policies[id]; r != nil {
		x.dropPolicy(r)
	}
}

func (x *index) dropPolicy(r *record) {
	x.refer(r, nil)
	delete(x.policies, r.id)
	x.changes.status(r) // also if it never was in force: the clerk has a file on it
	x.activate(r, nil)
	if r.isCluster() {
		x.cluster = remove(x.cluster, r)
	} else {
		ns := x.namespace(r.id.Namespace)
		ns.policies = remove(ns.policies, r)
	}
	x.changes.settle[r.id.Namespace] = struct{}{}
}

func (r *record) isCluster() bool { return r.id.Kind == policy.KindClusterRetryPolicy }

// read checks the policy as written against the Services it names.
func (x *index) read(r *record) {
	r.current, r.problems = compile.Read(r.source, x.facts.Service)
	x.changes.status(r)
}

// settle decides which policies of a namespace, or which cluster policies for "", are in force.
func (x *index) settle(namespace string) {
	list := x.cluster
	if namespace != "" {
		ns := x.namespace(namespace)
		defer x.tidy(ns)
		list = ns.policies
	}
	var contenders []*record
	var candidates []compile.Candidate
	for _, r := range list {
		if r.source.Enforced() {
			contenders = append(contenders, r)
			candidates = append(candidates, compile.Candidate{ID: r.id, Current: r.current, LastGood: r.lastGood})
			continue
		}
		x.setConflict(r, nil)
		r.lastGood = nil
		x.activate(r, r.standBy())
	}
	for i, v := range compile.ResolveConflicts(candidates) {
		r := contenders[i]
		x.setConflict(r, v.Conflict)
		r.lastGood = v.InForce
		x.activate(r, v.InForce)
	}
}

// standBy returns the version of a policy that does not act: a dry run still selects pods.
func (r *record) standBy() *compile.Policy {
	if r.source.Mode == v1alpha1.ModeDryRun {
		return r.current
	}
	return nil
}

func (x *index) setConflict(r *record, c *compile.Conflict) {
	same := (c == nil) == (r.conflict == nil) && (c == nil || *c == *r.conflict)
	if !same {
		x.changes.status(r)
	}
	r.conflict = c
}

// activate makes next the version of r that selects pods.
func (x *index) activate(r *record, next *compile.Policy) {
	last := r.active
	if last == next {
		return
	}
	r.active, r.derived = next, nil
	x.changes.status(r)
	for pr := range r.profiles {
		x.changes.profile(pr)
		pr.forgetDerived()
	}
	if sameSelection(last, next) {
		return
	}
	if !r.isCluster() {
		x.reselect(x.namespace(r.id.Namespace))
		return
	}
	for _, ns := range x.namespaces {
		before := ns.selectedBy(r)
		if x.selectClusterPolicies(ns) || before {
			x.reselect(ns)
		}
	}
}

func (ns *namespace) selectedBy(r *record) bool {
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

// settleAll decides about all policies that wait for it.
func (x *index) settleAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settlePending()
}

func (x *index) settlePending() {
	for namespace := range x.changes.settle {
		x.settle(namespace)
	}
	clear(x.changes.settle)
}
