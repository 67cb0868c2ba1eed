package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
)

// maxMessage bounds the message of a condition.
const maxMessage = 1024

// acceptedCondition reports whether the policy is valid together with what it names.
func acceptedCondition(v *index.View) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted}
	problems := slices.Clone(v.Problems)
	if v.Conflict != nil {
		problems = append(problems, v.Conflict.Problem())
	}
	switch {
	case len(problems) > 0:
		var sentences []string
		for _, p := range problems {
			sentences = append(sentences, p.Message)
		}
		if v.InForce {
			sentences = append(sentences, "The last good version stays in force.")
		}
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, problems[0].Reason, strings.Join(sentences, " ")
	case len(v.Warnings) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAcceptedWithWarnings, strings.Join(v.Warnings, " ")
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The policy is valid."
	}
	return c
}

// programmedInput is what the Programmed condition depends on besides the nodes.
type programmedInput struct {
	accepted bool
	// withinGrace says that nodes that have yet to answer do not count against the policy.
	withinGrace bool
	// behind counts nodes that may still act on a policy that was switched off.
	behind int
}

// programmedCondition reports whether every node concerned acknowledged the policy.
func programmedCondition(v *index.View, r *distribute.Rollout, in programmedInput) metav1.Condition {
	switch {
	case !in.accepted:
		return programmedFalse(v1alpha1.ReasonNotAccepted, "This generation is not accepted, so no node has it.")
	case isHeld(v):
		return heldCondition(v)
	case v.Mode != v1alpha1.ModeEnforce && in.behind > 0:
		return programmedFalse(v1alpha1.ReasonWaitingForNodes, "The mode is %s; nodes that have yet to acknowledge it: %d.", v.Mode, in.behind)
	case v.Mode == v1alpha1.ModeDisabled:
		return programmedTrue(v1alpha1.ReasonDisabled, "The mode is Disabled, so no node has it.")
	case r.Desired == 0:
		return programmedTrue(v1alpha1.ReasonNoMatchingPods, "No pod is selected, so no node needs it.")
	case r.Failed > 0:
		return programmedFalse(v1alpha1.ReasonRefusedByNodes, "%d of %s refused it: %s", r.Failed, plural(r.Desired, "node"), describeFailures(r))
	case r.Programmed == r.Desired:
		return programmedTrue(v1alpha1.ReasonProgrammed, "%s it (generation %d).", allHave(r.Desired), v.Generation)
	case in.withinGrace:
		return programmedTrue(v1alpha1.ReasonProgrammed, "%d of %s acknowledged it; the others have yet to answer.", r.Programmed, plural(r.Desired, "node"))
	}
	if gone := disconnected(r); len(gone) > 0 && len(gone) == len(r.Waiting) {
		return programmedFalse(v1alpha1.ReasonNodesDisconnected, "%d of %s acknowledged it; no agent is connected on %s.",
			r.Programmed, plural(r.Desired, "node"), NameSome(gone, r.Pending))
	}
	return programmedFalse(v1alpha1.ReasonWaitingForNodes, "%d of %s acknowledged it.", r.Programmed, plural(r.Desired, "node"))
}

func programmedTrue(reason, format string, args ...any) metav1.Condition {
	return condition(v1alpha1.ConditionProgrammed, reason, fmt.Sprintf(format, args...))
}

func programmedFalse(reason, format string, args ...any) metav1.Condition {
	c := programmedTrue(reason, format, args...)
	c.Status = metav1.ConditionFalse
	return c
}

// allHave begins a sentence about all of n nodes.
func allHave(n int) string {
	if n == 1 {
		return "The only node has"
	}
	return fmt.Sprintf("All %d nodes have", n)
}

func describeFailures(r *distribute.Rollout) string {
	var out []string
	for _, f := range r.Failures[:min(len(r.Failures), 3)] {
		out = append(out, fmt.Sprintf("%s (%s: %s)", f.Node, f.Reason, f.Message))
	}
	return NameSome(out, r.Failed)
}

func disconnected(r *distribute.Rollout) []string {
	var out []string
	for _, w := range r.Waiting {
		if !w.Connected {
			out = append(out, w.Node)
		}
	}
	return out
}

// progressCondition returns Reconciling or Stalled of kstatus, if the policy is not ready.
func progressCondition(accepted, programmed metav1.Condition, r *distribute.Rollout) (metav1.Condition, bool) {
	switch {
	case accepted.Status != metav1.ConditionTrue:
		return condition(v1alpha1.ConditionStalled, accepted.Reason, accepted.Message), true
	case programmed.Status == metav1.ConditionTrue:
		return metav1.Condition{}, false
	case programmed.Reason == v1alpha1.ReasonRolledBack:
		return condition(v1alpha1.ConditionStalled, v1alpha1.ReasonRolledBack, programmed.Message), true
	case programmed.Reason == v1alpha1.ReasonRollingOut:
		return condition(v1alpha1.ConditionReconciling, v1alpha1.ReasonRollingOut, programmed.Message), true
	case r.Failed > 0 && r.Failed+r.Programmed == r.Desired:
		return condition(v1alpha1.ConditionStalled, v1alpha1.ReasonRefusedByNodes, programmed.Message), true
	}
	return condition(v1alpha1.ConditionReconciling, v1alpha1.ReasonProgressing, programmed.Message), true
}

// extraConditions are those that are present only while they are true.
func extraConditions(v *index.View, agents *Reports) []metav1.Condition {
	var out []metav1.Condition
	if v.Conflict != nil {
		out = append(out, condition(v1alpha1.ConditionConflicted, v1alpha1.ReasonConflicted, v.Conflict.Problem().Message))
	}
	if c, ok := partiallyEnforcedCondition(v, agents); ok {
		out = append(out, c)
	}
	if c, ok := forcedCondition(v); ok {
		out = append(out, c)
	}
	if v.Mode == v1alpha1.ModeDryRun {
		out = append(out, condition(v1alpha1.ConditionDryRun, v1alpha1.ReasonDryRunMode, dryRunMessage(&agents.Figures)))
	}
	return out
}

func partiallyEnforcedCondition(v *index.View, agents *Reports) (metav1.Condition, bool) {
	var reasons, sentences []string
	for _, u := range v.Unenforced {
		if !slices.Contains(reasons, u.Reason) {
			reasons = append(reasons, u.Reason)
		}
	}
	if len(v.Unenforced) > 0 {
		sentences = append(sentences, compile.DescribeUnenforced(v.Unenforced))
	}
	if v.HostNetworkPods > 0 {
		reasons = append(reasons, v1alpha1.ReasonHostNetwork)
		sentences = append(sentences, hostNetworkSentence(v))
	}
	if problems := agents.Figures.Problems; len(problems) > 0 {
		reasons = append(reasons, v1alpha1.ReasonNotCaptured)
		sentences = append(sentences, describeProblems(problems))
	}
	for _, n := range noticeSentences {
		if notices := noticesOf(&agents.Figures, n.reason); len(notices) > 0 {
			reasons = append(reasons, n.reason)
			sentences = append(sentences, describeBy(n.sentence, n.reason, notices))
		}
	}
	if lacking := lackingFor(v, &agents.Rollout); len(lacking) > 0 {
		reasons = append(reasons, v1alpha1.ReasonOlderAgents)
		sentences = append(sentences, describeLeftOut(lacking))
	}
	if len(reasons) == 0 {
		return metav1.Condition{}, false
	}
	reason := reasons[0]
	if len(reasons) > 1 {
		reason = v1alpha1.ReasonSeveral
	}
	return condition(v1alpha1.ConditionPartiallyEnforced, reason, strings.Join(sentences, " ")), true
}

// condition returns a condition that is True.
func condition(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// mergeConditions returns next with the transition times of base where a status did not change.
func mergeConditions(base, next []metav1.Condition, generation int64, now metav1.Time) []metav1.Condition {
	out := make([]metav1.Condition, len(next))
	for i, c := range next {
		c.ObservedGeneration = generation
		c.Message = Bound(c.Message, maxMessage)
		c.LastTransitionTime = now
		if old := meta.FindStatusCondition(base, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		out[i] = c
	}
	return out
}
