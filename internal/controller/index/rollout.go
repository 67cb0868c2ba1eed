package index

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/rollout"
	"fairlead.dev/fairlead/internal/policy"
)

// nextMark ends the name of what belongs to the version that a rollout brings. No name of an object has it.
const nextMark = "^next"

// NextID is under which the version of a policy that a rollout brings is counted by itself: profiles with it are published with both IDs.
func NextID(id policy.ID) policy.ID {
	id.Name += nextMark
	return id
}

// member is a policy that has a part in a profile: by the version that a rollout brings, or by the one that is in force without it.
type member struct {
	*policyEntry
	next bool
}

func (m member) version() *compile.Policy {
	if m.next {
		return m.active
	}
	return m.stable
}

// mark is what the member adds to the name of its profile.
func (m member) mark() policy.ID {
	if m.next {
		return NextID(m.id)
	}
	return m.id
}

// member returns how a policy has a part in the profile.
func (pr *profile) member(r *policyEntry) member {
	return pr.members[slices.IndexFunc(pr.members, func(m member) bool { return m.policyEntry == r })]
}

// rolling reports whether some nodes have another version than the active one.
func (r *policyEntry) rolling() bool { return r.active != r.stable }

// on returns how the policy has a part in profiles of a node.
func (r *policyEntry) on(node string) member {
	return member{r, r.rolling() && rollout.Reaches(r.rollout, string(r.uid), node)}
}

// selectsNamespace reports whether any version in force of a cluster policy selects a namespace.
func (r *policyEntry) selectsNamespace(l labels.Set) bool {
	return r.active != nil && r.active.Namespaces.Matches(l) || r.rolling() && r.stable != nil && r.stable.Namespaces.Matches(l)
}

// held returns the version that stays in force on some nodes if a rollout brings another.
func (r *policyEntry) held() *compile.Policy {
	if r.source.Rollout == nil {
		return nil
	}
	return r.stable
}

// olderVersions returns the versions that act besides the one that is written.
func (r *policyEntry) olderVersions() []*compile.Policy {
	var out []*compile.Policy
	for _, v := range []*compile.Policy{r.active, r.stable} {
		if v != nil && v.Generation != r.source.Generation && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// restoreRollout takes over what is known of a policy that this manager has not seen before.
func (x *Index) restoreRollout(r *policyEntry, src *compile.Source) {
	r.lastGood = compile.RestoreLastGood(*src, x.lookup.Service)
	known := src.RolledOut
	if known != nil && known.Generation == src.Generation {
		r.rollout = known.DeepCopy()
	}
	switch {
	case src.Previous != nil:
		r.stable = compile.Restore(*src.Previous, x.lookup.Service)
		r.lastGood = r.stable
	case src.InForce == src.Generation:
		r.everywhere = src.Generation
	case src.InForce != 0 && (r.rollout == nil || r.rollout.Phase != v1alpha1.RolloutRolledBack):
		// What was in force before is not known, so it cannot stay in force anywhere.
		r.everywhere = src.Generation
		r.rollout = &v1alpha1.RolloutStatus{
			Phase: v1alpha1.RolloutComplete, Generation: src.Generation,
			Message: "It came to all nodes at once, because the generation before was not kept.",
		}
	}
}

// plan decides whether next comes into force at once or by a rollout, and returns the version that is in force on nodes that this does not reach.
func (r *policyEntry) plan(next *compile.Policy) *compile.Policy {
	switch {
	case next == nil:
		r.rollout = nil
		return nil
	case next.Rollout == nil, !next.Enforced(), r.everywhere == next.Generation, r.stable != nil && r.stable.Same(&next.Source):
		if r.rollout != nil && (r.rollout.Generation != next.Generation || next.Rollout == nil || rollout.UnderWay(r.rollout)) {
			r.rollout = nil
		}
		r.everywhere = next.Generation
		return next
	case r.rollout == nil || r.rollout.Generation != next.Generation:
		start := rollout.Start(next.Generation)
		r.rollout = &start
	}
	return r.stable.WithForced(next.Forced)
}

// setVersions replaces the versions of a policy. Reached says that a rollout has reached other nodes than before.
func (x *Index) setVersions(r *policyEntry, active, stable *compile.Policy, reached bool) {
	lastActive, lastStable, wasRolling := r.active, r.stable, r.rolling()
	r.active, r.stable, r.derived = active, stable, nil
	x.changes.status(r)
	for pr := range r.profiles {
		if next := pr.member(r).next; next && active != lastActive || !next && stable != lastStable {
			x.recompile(pr, r)
		}
	}
	x.setReferences(r)
	x.setObjects(r)
	if !reached && r.rolling() == wasRolling && sameSelection(lastActive, active) && sameSelection(lastStable, stable) {
		return
	}
	x.reselectAll(r)
}

// reselectAll looks at all pods again that the policy may select, or may have selected.
func (x *Index) reselectAll(r *policyEntry) {
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

// readStable checks the version that a rollout has not replaced yet against the Services it names. What is wrong with it leaves it as it was.
func (x *Index) readStable(r *policyEntry) {
	if !r.rolling() || r.stable == nil {
		return
	}
	if again, problems := compile.Read(r.stable.Source, x.lookup.Service, x.lookup.Reference); len(problems) == 0 {
		x.setVersions(r, r.active, again, false)
	}
}

// Rollout is what a rollout of a policy depends on. It shares nothing that changes.
type Rollout struct {
	UID  types.UID
	Spec *v1alpha1.Rollout
	// State is how far it is; nil if the version in force came to all nodes at once.
	State *v1alpha1.RolloutStatus
	// Stable is the version that the nodes have which were not reached; nil for none. Active is the one that is brought to them.
	Stable, Active *compile.Source
	// Nodes are those that either version concerns, with whether they have pods that Active governs.
	Nodes map[string]bool
	// Changed and Others are where agents report the traffic of calls under Active and under Stable.
	Changed, Others map[ReportKey]struct{}
	// Unpublished says that a change of the policy has not been published yet.
	Unpublished bool
}

// Rollout returns what the rollouts of a policy depend on, or false if changes of it come to all nodes at once.
func (x *Index) Rollout(id policy.ID) (Rollout, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[id]
	if r == nil || r.active == nil || r.active.Rollout == nil {
		return Rollout{}, false
	}
	v := Rollout{UID: r.uid, Spec: r.active.Rollout, Active: &r.active.Source, Unpublished: x.isUnpublished(id)}
	if r.stable != nil {
		v.Stable = &r.stable.Source
	}
	if r.rollout == nil {
		return v, true
	}
	v.State = r.rollout.DeepCopy()
	if rollout.UnderWay(v.State) {
		v.Nodes = x.nodesOf(r)
		v.Changed, v.Others = r.reportsBySide()
	}
	return v, true
}

// nodesOf returns the nodes with pods that one of the versions of r selects, and whether the active one does.
func (x *Index) nodesOf(r *policyEntry) map[string]bool {
	nodes := map[string]bool{}
	add := func(ns *namespace) {
		for _, p := range ns.pods {
			if p.HostNetwork {
				continue
			}
			if active := r.active.Selects(ns.labels, p.Labels); active || r.stable != nil && r.stable.Selects(ns.labels, p.Labels) {
				nodes[p.Node] = nodes[p.Node] || active
			}
		}
	}
	if !r.isCluster() {
		add(x.namespace(r.id.Namespace))
		return nodes
	}
	for _, ns := range x.namespaces {
		if ns.selectedBy(r) {
			add(ns)
		}
	}
	return nodes
}

// reportsBySide returns where agents report traffic of calls under either version.
func (r *policyEntry) reportsBySide() (changed, others map[ReportKey]struct{}) {
	changed, others = map[ReportKey]struct{}{}, map[ReportKey]struct{}{}
	for pr := range r.profiles {
		if !pr.usable {
			continue
		}
		to := others
		if pr.member(r).next {
			to = changed
		}
		maps.Copy(to, pr.reports(r))
	}
	return changed, others
}

// reports returns where agents report the traffic of calls that r has a part in by the profile.
func (pr *profile) reports(r *policyEntry) map[ReportKey]struct{} {
	out := map[ReportKey]struct{}{}
	acts := pr.member(r).version().Enforced()
	for i := range pr.compiled.Bindings {
		if b := &pr.compiled.Bindings[i]; slices.Contains(b.Merged, r.id) && (b.Mode == policy.ModeEnforce) == acts {
			out[ReportKey{b.Policy, b.To.String()}] = struct{}{}
		}
	}
	return out
}

// SetRollout replaces the state of a rollout, unless it is over or another policy's by now. It reports whether other nodes than before have
// the change with that: then it is to be published.
func (x *Index) SetRollout(id policy.ID, uid types.UID, next *v1alpha1.RolloutStatus) (reached bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[id]
	if r == nil || r.uid != uid || r.rollout == nil || r.rollout.Generation != next.Generation || !rollout.UnderWay(r.rollout) {
		return false
	}
	last := r.rollout
	r.rollout = next.DeepCopy()
	if next.Phase == v1alpha1.RolloutComplete {
		r.everywhere = next.Generation
		x.setVersions(r, r.active, r.active, true)
	} else if reached = !sameReach(last, next); reached {
		x.setVersions(r, r.active, r.stable, true)
	}
	if !rollout.UnderWay(next) {
		x.changes.conflicts[r.id.Namespace] = struct{}{} // others may have waited for what the former version named
		return true
	}
	return reached
}

// sameReach reports whether both states reach the same nodes.
func sameReach(a, b *v1alpha1.RolloutStatus) bool {
	boundary := func(s *v1alpha1.RolloutStatus) int64 {
		if s.Boundary == nil || s.Phase == v1alpha1.RolloutPending || s.Phase == v1alpha1.RolloutRolledBack {
			return -1
		}
		return *s.Boundary
	}
	return boundary(a) == boundary(b)
}

// RolledOut returns the policies that come to the nodes by rollouts.
func (x *Index) RolledOut() map[types.UID]struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := map[types.UID]struct{}{}
	for _, r := range x.policies {
		if r.active != nil && r.active.Rollout != nil || r.source.Rollout != nil {
			out[r.uid] = struct{}{}
		}
	}
	return out
}
