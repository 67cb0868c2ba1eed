package controller

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// Bounds of strings in status, as the API has them.
const (
	maxFailure = 512
	maxLabel   = 320
	maxField   = 256
	maxSummary = 256
)

// reported is what agents say about a policy.
type reported struct {
	rollout distribute.Rollout
	figures distribute.Figures
	// patience says that nodes have been pending only for a moment.
	patience bool
	// behind counts nodes that may still act on a policy that was switched off.
	behind int
	// waited is for how long this manager has been looking at the policy.
	waited time.Duration
}

// statusOf returns the status that v and the agents' word make, given the status now. It is pure: the same arguments give the same
// status, byte for byte.
func statusOf(v *view, agents *reported, base *v1alpha1.PolicyStatus, now metav1.Time) *v1alpha1.PolicyStatus {
	rollout, lenient := agents.rollout, wasProgrammed(v, base)
	if lenient {
		rollout.Programmed += rollout.Unknown
	}
	s := &v1alpha1.PolicyStatus{
		ObservedGeneration: v.generation,
		InForceGeneration:  v.acting,
		Mode:               v.mode,
		MatchedPods:        count(v.pods),
		Nodes:              nodesOf(&rollout),
		Effective:          effectiveOf(v),
	}
	if v.id.Kind == policy.KindClusterRetryPolicy {
		s.MatchedNamespaces = count(v.namespaces)
	}
	if v.hostNetworkPods > 0 {
		s.HostNetworkPods = count(v.hostNetworkPods)
	}
	s.Destinations = destinationStatuses(v, &agents.figures, base, now)
	s.DestinationSummary = summarize(v)
	s.Traffic = trafficOf(v, agents, base.Traffic)

	accepted := acceptedCondition(v)
	programmed := programmedCondition(v, &rollout, standing{accepted: accepted.Status == metav1.ConditionTrue, patient: lenient && agents.patience, behind: agents.behind})
	if len(base.Conditions) == 0 && programmed.Status == metav1.ConditionTrue {
		// A GitOps tool takes an object without conditions for ready. The first answer is that it is not, the second may be that it is.
		programmed.Status, programmed.Reason, programmed.Message = metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes, "The policy has just been read."
	}
	conditions := []metav1.Condition{accepted, programmed, readyCondition(v, &agents.figures, accepted, programmed, rollout.Desired)}
	if c, ok := progressCondition(accepted, programmed, &rollout); ok {
		conditions = append(conditions, c)
	}
	conditions = append(conditions, extraConditions(v, &agents.figures)...)
	s.Conditions = mergeConditions(base.Conditions, conditions, v.generation, now)
	return s
}

// wasProgrammed reports whether the policy's present generation was programmed before. Then it stays so on account of nodes that have
// not been heard of since the leader changed, and for a moment on account of nodes that were told something just now: pods come and go,
// other policies change, and agents answer within a second. Whoever waits for a new generation gets no such leniency.
func wasProgrammed(v *view, base *v1alpha1.PolicyStatus) bool {
	c := meta.FindStatusCondition(base.Conditions, v1alpha1.ConditionProgrammed)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == v.generation
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
		n.Failures = append(n.Failures, v1alpha1.NodeFailure{Node: f.Node, Reason: f.Reason.String(), Message: bound(f.Message, maxFailure)})
	}
	return n
}

func effectiveOf(v *view) *v1alpha1.EffectiveStatus {
	if len(v.overriddenBy)+len(v.overrides) == 0 {
		return nil
	}
	const most = v1alpha1.MaxPolicyReferences
	return &v1alpha1.EffectiveStatus{
		OverriddenBy:     v.overriddenBy[:min(len(v.overriddenBy), most)],
		MoreOverriddenBy: int32(max(0, len(v.overriddenBy)-most)),
		Overrides:        v.overrides[:min(len(v.overrides), most)],
		MoreOverrides:    int32(max(0, len(v.overrides)-most)),
	}
}

func destinationStatuses(v *view, f *distribute.Figures, base *v1alpha1.PolicyStatus, now metav1.Time) []v1alpha1.DestinationStatus {
	breakers := map[string]distribute.Breakers{}
	for _, t := range f.Targets {
		breakers[t.Target] = breakers[t.Target].Plus(t.Breakers)
	}
	before := map[string]*v1alpha1.DestinationStatus{}
	for i := range base.Destinations {
		before[base.Destinations[i].To] = &base.Destinations[i]
	}
	var out []v1alpha1.DestinationStatus
	for _, d := range v.destinations[:min(len(v.destinations), v1alpha1.MaxDestinationStatuses)] {
		s := v1alpha1.DestinationStatus{To: bound(d.Label, maxLabel), Protocol: d.Protocol, Endpoints: d.endpoints}
		b := breakers[d.Target]
		s.Breaker = stateOf(v, &b)
		s.BreakerSince = breakerSince(&s, before[s.To], b.For, now)
		s.Enforced, s.NotEnforced = enforcement(v, d.Index)
		out = append(out, s)
	}
	return out
}

// sameSince is how far two accounts of one change of a breaker may lie apart: agents tell its age, and whole seconds are shown.
const sameSince = 3 * time.Second

// breakerSince returns since when a breaker has been in its state, given what was known before and for how long agents say it has.
func breakerSince(s, before *v1alpha1.DestinationStatus, age time.Duration, now metav1.Time) *metav1.Time {
	var was *metav1.Time
	if before != nil && before.Breaker == s.Breaker {
		was = before.BreakerSince
	}
	since := metav1.NewTime(now.Add(-age).Truncate(time.Second))
	switch {
	case s.Breaker == "":
		return nil
	case s.Breaker == v1alpha1.BreakerStateClosed && before != nil && before.Breaker != "" && before.Breaker != s.Breaker:
		return &now // agents do not say when a breaker closed
	case s.Breaker == v1alpha1.BreakerStateClosed:
		return was
	case was != nil && was.Sub(since.Time).Abs() <= sameSince:
		return was
	}
	return &since
}

// enforcement says how much is enforced for entry i of to.
func enforcement(v *view, i int) (v1alpha1.Enforcement, []v1alpha1.NotEnforcedField) {
	var fields []v1alpha1.NotEnforcedField
	none := v.mode != v1alpha1.ModeEnforce || !v.inForce
	for _, g := range v.gaps {
		if g.Target >= 0 && g.Target != i {
			continue
		}
		none = none || g.Target == i && strings.HasSuffix(g.Field, "protocol") && g.Reason != v1alpha1.ReasonOpaqueProtocol
		if len(fields) < v1alpha1.MaxNotEnforced {
			fields = append(fields, v1alpha1.NotEnforcedField{Field: bound(g.Field, maxField), Reason: g.Reason})
		}
	}
	switch {
	case none:
		return v1alpha1.EnforcementNone, fields
	case len(fields) > 0:
		return v1alpha1.EnforcementPartial, fields
	}
	return v1alpha1.EnforcementFull, nil
}

func summarize(v *view) string {
	var names []string
	for _, d := range v.destinations {
		names = append(names, d.Label)
	}
	return bound(nameSome(names, len(names)), maxSummary)
}
