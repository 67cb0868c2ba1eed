package status

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Bounds of strings in status, as the API has them.
const (
	maxFailure = 512
	maxLabel   = 320
	maxField   = 256
	maxSummary = 256
	maxManager = 128
)

// Reports is what agents say about a policy.
type Reports struct {
	Rollout distribute.Rollout
	// Next counts the nodes by themselves that a rollout has reached.
	Next    distribute.Rollout
	Figures distribute.Figures
	// WithinGrace says that no node has been pending for longer than it may take to acknowledge.
	WithinGrace bool
	// Behind counts nodes that may still act on a policy that was switched off.
	Behind int
	// KnownFor is for how long this manager has been looking at the policy.
	KnownFor time.Duration
}

// Of returns the status of a policy, given what the index knows of it, what agents reported, and the status now.
func Of(v *index.View, agents *Reports, base *v1alpha1.PolicyStatus, now metav1.Time) *v1alpha1.PolicyStatus {
	rollout := shownRollout(v, agents)
	if WasProgrammed(v, base) {
		rollout.Programmed += rollout.Unknown
	}
	s := &v1alpha1.PolicyStatus{
		ObservedGeneration: v.Generation,
		InForceGeneration:  v.ActingGeneration,
		Mode:               v.Mode,
		MatchedPods:        count(v.Pods),
		Nodes:              nodesOf(&rollout),
		Effective:          effectiveOf(v),
	}
	if v.ID.Kind == policy.KindClusterRetryPolicy {
		s.MatchedNamespaces = count(v.Namespaces)
	}
	if v.HostNetworkPods > 0 {
		s.HostNetworkPods = count(v.HostNetworkPods)
	}
	s.Rollout = v.Rollout
	s.Destinations = destinationStatuses(v, &agents.Figures, base, now)
	s.DestinationSummary = summarize(v)
	s.Traffic = trafficOf(v, agents, base.Traffic)

	conditions := conditionsOf(v, agents, &rollout, base)
	if c, ok := faultsCondition(v, now.Time); ok {
		conditions = append(conditions, c)
	}
	s.Conditions = mergeConditions(base.Conditions, conditions, v.Generation, now)
	return s
}

// conditionsOf returns the conditions, with the transition times left out. Rollout counts the nodes as they are shown.
func conditionsOf(v *index.View, agents *Reports, rollout *distribute.Rollout, base *v1alpha1.PolicyStatus) []metav1.Condition {
	accepted := acceptedCondition(v)
	programmed := programmedCondition(v, rollout, programmedInput{
		accepted:    accepted.Status == metav1.ConditionTrue,
		withinGrace: WasProgrammed(v, base) && agents.WithinGrace,
		behind:      agents.Behind,
	})
	if len(base.Conditions) == 0 && programmed.Status == metav1.ConditionTrue {
		// A GitOps tool takes an object without conditions for ready, so the first status says that it is not ready.
		programmed.Status, programmed.Reason, programmed.Message = metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes, "The policy has just been read."
	}
	out := []metav1.Condition{accepted, programmed, readyCondition(v, agents, accepted, programmed)}
	if c, ok := progressCondition(accepted, programmed, rollout); ok {
		out = append(out, c)
	}
	return append(out, extraConditions(v, agents)...)
}

// WasProgrammed reports whether the policy's present generation was programmed before. Then it stays so on account of nodes that have
// not been heard of since the leader changed, and for a moment on account of nodes that were sent something just now: pods come and go,
// other policies change, and agents acknowledge within a second. A new generation is programmed only once all nodes have acknowledged it.
func WasProgrammed(v *index.View, base *v1alpha1.PolicyStatus) bool {
	c := meta.FindStatusCondition(base.Conditions, v1alpha1.ConditionProgrammed)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == v.Generation
}

func count(n int) *int32 {
	c := int32(n)
	return &c
}

func nodesOf(r *distribute.Rollout) *v1alpha1.NodesStatus {
	n := &v1alpha1.NodesStatus{
		Desired: int32(r.Desired), Programmed: int32(r.Programmed), Failed: int32(r.Failed),
		Summary: fmt.Sprintf("%d/%d", r.Programmed, r.Desired),
	}
	for _, f := range r.Failures[:min(len(r.Failures), v1alpha1.MaxNodeFailures)] {
		n.Failures = append(n.Failures, v1alpha1.NodeFailure{Node: f.Node, Reason: f.Reason.String(), Message: Bound(f.Message, maxFailure)})
	}
	return n
}

func effectiveOf(v *index.View) *v1alpha1.EffectiveStatus {
	if len(v.OverriddenBy)+len(v.Overrides) == 0 {
		return nil
	}
	const most = v1alpha1.MaxPolicyReferences
	return &v1alpha1.EffectiveStatus{
		OverriddenBy:     v.OverriddenBy[:min(len(v.OverriddenBy), most)],
		MoreOverriddenBy: int32(max(0, len(v.OverriddenBy)-most)),
		Overrides:        v.Overrides[:min(len(v.Overrides), most)],
		MoreOverrides:    int32(max(0, len(v.Overrides)-most)),
	}
}
