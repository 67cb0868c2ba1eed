package controller

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// maxMessage bounds the message of a condition.
const maxMessage = 1024

// acceptedCondition says whether the policy is valid together with what it names.
func acceptedCondition(v *view) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted}
	problems := slices.Clone(v.problems)
	if v.conflict != nil {
		problems = append(problems, v.conflict.Problem())
	}
	switch {
	case len(problems) > 0:
		var sentences []string
		for _, p := range problems {
			sentences = append(sentences, p.Message)
		}
		if v.inForce {
			sentences = append(sentences, "The last good version stays in force.")
		}
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, problems[0].Reason, strings.Join(sentences, " ")
	case len(v.notes) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAcceptedWithWarnings, strings.Join(v.notes, " ")
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The policy is valid."
	}
	return c
}

// standing is what the Programmed condition depends on besides the nodes.
type standing struct {
	accepted bool
	// patient says that nodes that have yet to answer do not count against the policy.
	patient bool
	// behind counts nodes that may still act on a policy that was switched off.
	behind int
}

// programmedCondition says whether every node concerned acknowledged the policy.
func programmedCondition(v *view, r *distribute.Rollout, s standing) metav1.Condition {
	no := func(reason, format string, args ...any) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	yes := func(reason, format string, args ...any) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionTrue, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case !s.accepted:
		return no(v1alpha1.ReasonNotAccepted, "This generation is not accepted, so no node has it.")
	case v.mode != v1alpha1.ModeEnforce && s.behind > 0:
		return no(v1alpha1.ReasonWaitingForNodes, "The mode is %s; nodes that have yet to acknowledge it: %d.", v.mode, s.behind)
	case v.mode == v1alpha1.ModeDisabled:
		return yes(v1alpha1.ReasonDisabled, "The mode is Disabled, so no node has it.")
	case v.mode == v1alpha1.ModeDryRun:
		return yes(v1alpha1.ReasonProgrammed, "The mode is DryRun, so no node acts on it.")
	case r.Desired == 0:
		return yes(v1alpha1.ReasonNoMatchingPods, "No pod is selected, so no node needs it.")
	case r.Failed > 0:
		return no(v1alpha1.ReasonRefusedByNodes, "%d of %s refused it: %s", r.Failed, plural(r.Desired, "node"), describeFailures(r))
	case r.Programmed == r.Desired:
		return yes(v1alpha1.ReasonProgrammed, "%s it (generation %d).", allHave(r.Desired), v.generation)
	case s.patient:
		return yes(v1alpha1.ReasonProgrammed, "%d of %s acknowledged it; the others have yet to answer.", r.Programmed, plural(r.Desired, "node"))
	}
	if gone := disconnected(r); len(gone) > 0 && len(gone) == len(r.Waiting) {
		return no(v1alpha1.ReasonNodesDisconnected, "%d of %s acknowledged it; no agent is connected on %s.", r.Programmed, plural(r.Desired, "node"),
			nameSome(gone, r.Pending))
	}
	return no(v1alpha1.ReasonWaitingForNodes, "%d of %s acknowledged it.", r.Programmed, plural(r.Desired, "node"))
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
	return nameSome(out, r.Failed)
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

// nameSome joins at most three names and counts the rest of all.
func nameSome(names []string, all int) string {
	shown := names[:min(len(names), 3)]
	s := strings.Join(shown, ", ")
	if more := all - len(shown); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// readyCondition sums up the other two. Its message is what kubectl get shows: while it is True, it also tells what is not in force.
func readyCondition(v *view, f *distribute.Figures, accepted, programmed metav1.Condition, nodes int) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}
	switch {
	case accepted.Status != metav1.ConditionTrue:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, accepted.Reason, accepted.Message
	case programmed.Status != metav1.ConditionTrue:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, programmed.Reason, programmed.Message
	case v.mode == v1alpha1.ModeDisabled:
		c.Reason, c.Message = v1alpha1.ReasonDisabled, "The mode is Disabled: no call is governed."
	case v.mode == v1alpha1.ModeDryRun:
		c.Message = "The mode is DryRun: calls pass through unchanged."
	case v.pods == 0:
		c.Message = "In force, but no running pod is selected" + reservations(v, f)
	default:
		c.Message = fmt.Sprintf("In force for %s on %s", plural(v.pods, "pod"), plural(nodes, "node")) + reservations(v, f)
	}
	return c
}

// reservations ends a sentence about a policy in force with what of it is not, and adds the warnings. It names a few fields;
// PartiallyEnforced names them all.
func reservations(v *view, f *distribute.Figures) string {
	var missing []string
	var others []compile.UnenforcedField
	for _, g := range v.gaps {
		if g.Reason == v1alpha1.ReasonNotYetSupported {
			missing = append(missing, g.Field)
		} else if len(others) < 3 {
			others = append(others, g)
		}
	}
	s := "."
	if len(missing) > 0 {
		s = fmt.Sprintf(", except %s, which this version does not enforce.", listSome(missing))
	}
	sentences := append([]string{s}, compile.DescribeUnenforced(others), hostNetworkSentence(v), describeProblems(f.Problems), noEndpointsSentence(v),
		olderSentence(f.OlderConnections), describeNotices(f.Notices))
	sentences = slices.DeleteFunc(slices.Concat(sentences, v.remarks, v.notes), func(s string) bool { return s == "" })
	return strings.Join(sentences, " ")
}

// listSome names three of the names as a sentence does, and counts the rest.
func listSome(names []string) string {
	last := len(names) - 1
	if last < 1 || last > 2 {
		return nameSome(names, len(names))
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// progressCondition returns Reconciling or Stalled of kstatus, if the policy is not ready.
func progressCondition(accepted, programmed metav1.Condition, r *distribute.Rollout) (metav1.Condition, bool) {
	switch {
	case accepted.Status != metav1.ConditionTrue:
		return condition(v1alpha1.ConditionStalled, accepted.Reason, accepted.Message), true
	case programmed.Status == metav1.ConditionTrue:
		return metav1.Condition{}, false
	case r.Failed > 0 && r.Failed+r.Programmed == r.Desired:
		return condition(v1alpha1.ConditionStalled, v1alpha1.ReasonRefusedByNodes, programmed.Message), true
	}
	return condition(v1alpha1.ConditionReconciling, v1alpha1.ReasonProgressing, programmed.Message), true
}

// extraConditions are those that are present only while they are true.
func extraConditions(v *view, f *distribute.Figures) []metav1.Condition {
	var out []metav1.Condition
	if v.conflict != nil {
		out = append(out, condition(v1alpha1.ConditionConflicted, v1alpha1.ReasonConflicted, v.conflict.Problem().Message))
	}
	if c, ok := partlyCondition(v, f); ok {
		out = append(out, c)
	}
	if v.mode == v1alpha1.ModeDryRun {
		out = append(out, condition(v1alpha1.ConditionDryRun, v1alpha1.ReasonDryRunMode, "Calls pass through unchanged."))
	}
	return out
}

func partlyCondition(v *view, f *distribute.Figures) (metav1.Condition, bool) {
	var reasons, sentences []string
	for _, g := range v.gaps {
		if !slices.Contains(reasons, g.Reason) {
			reasons = append(reasons, g.Reason)
		}
	}
	if len(v.gaps) > 0 {
		sentences = append(sentences, compile.DescribeUnenforced(v.gaps))
	}
	if v.hostNetworkPods > 0 {
		reasons = append(reasons, v1alpha1.ReasonHostNetwork)
		sentences = append(sentences, hostNetworkSentence(v))
	}
	if len(f.Problems) > 0 {
		reasons = append(reasons, v1alpha1.ReasonNotCaptured)
		sentences = append(sentences, describeProblems(f.Problems))
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

func hostNetworkSentence(v *view) string {
	if v.hostNetworkPods == 0 {
		return ""
	}
	return fmt.Sprintf("Selects %s on the host's network in vain.", plural(v.hostNetworkPods, "pod"))
}

// noEndpointsSentence names Services behind which there is nothing. It is no condition of its own: endpoints come and go while pods
// are replaced, and nothing that the policy asks for is missing.
func noEndpointsSentence(v *view) string {
	var names []string
	for _, d := range v.destinations {
		if d.endpoints != nil && *d.endpoints == 0 {
			names = append(names, d.Label)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0] + " has no endpoints; calls to it go to the cluster and fail as without the policy."
	}
	return listSome(names) + " have no endpoints; calls to them go to the cluster and fail as without the policy."
}

func olderSentence(connections int) string {
	switch connections {
	case 0:
		return ""
	case 1:
		return "1 connection was opened before its pod was captured and is not governed; it is once it is opened again, as by a restart of the pod."
	}
	return fmt.Sprintf("%d connections were opened before their pods were captured and are not governed; they are once they are opened again, as by a restart of the pods.", connections)
}

// describeNotices says what there is to know of pods that are captured.
func describeNotices(notices []policy.CaptureProblem) string {
	if len(notices) == 0 {
		return ""
	}
	return fmt.Sprintf("To know of captured pods: %s.", nameProblems(notices))
}

// describeProblems names pods whose calls go directly. Agents name a few each, so there may be more.
func describeProblems(problems []policy.CaptureProblem) string {
	if len(problems) == 0 {
		return ""
	}
	return fmt.Sprintf("Could not capture the calls of %s.", nameProblems(problems))
}

func nameProblems(problems []policy.CaptureProblem) string {
	var names []string
	for _, p := range problems {
		names = append(names, fmt.Sprintf("%s/%s (%s: %s)", p.Namespace, p.Pod, p.Reason, p.Message))
	}
	return nameSome(names, len(names))
}

func condition(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// mergeConditions returns next with the transition times of base where a status did not change.
func mergeConditions(base, next []metav1.Condition, generation int64, now metav1.Time) []metav1.Condition {
	out := make([]metav1.Condition, len(next))
	for i, c := range next {
		c.ObservedGeneration = generation
		c.Message = bound(c.Message, maxMessage)
		c.LastTransitionTime = now
		if old := meta.FindStatusCondition(base, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		out[i] = c
	}
	return out
}

// bound cuts s to n bytes, at the end of a character.
func bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
