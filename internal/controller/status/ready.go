package status

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// readyCondition sums up the other two. Its message is what kubectl get shows: while it is True, it also says what is not in force.
func readyCondition(v *index.View, agents *Reports, accepted, programmed metav1.Condition) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}
	switch {
	case accepted.Status != metav1.ConditionTrue:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, accepted.Reason, accepted.Message
	case programmed.Status != metav1.ConditionTrue:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, programmed.Reason, programmed.Message
	case v.Mode == v1alpha1.ModeDisabled:
		c.Reason, c.Message = v1alpha1.ReasonDisabled, "The mode is Disabled: no call is governed."
	case v.Mode == v1alpha1.ModeDryRun:
		c.Message = fmt.Sprintf("The mode is DryRun: the calls of %s on %s are looked at and pass unchanged",
			plural(v.Pods, "pod"), plural(agents.Rollout.Desired, "node")) + reservations(v, agents)
	case v.Pods == 0:
		c.Message = "In force, but no running pod is selected" + reservations(v, agents)
	default:
		c.Message = fmt.Sprintf("In force for %s on %s", plural(v.Pods, "pod"), plural(agents.Rollout.Desired, "node")) + reservations(v, agents)
	}
	return c
}

// reservations ends a sentence about a policy in force with what of it is not, and adds the warnings. It names a few fields;
// PartiallyEnforced names them all.
func reservations(v *index.View, agents *Reports) string {
	f := &agents.Figures
	sentences := append([]string{"."}, compile.DescribeUnenforced(v.Unenforced[:min(len(v.Unenforced), 3)]), hostNetworkSentence(v), describeProblems(f.Problems),
		describeLeftOut(lackingFor(v, &agents.Rollout)), noEndpointsSentence(v), v.Bounds.BelowNodes(agents.Rollout.Desired), v.Bounds.OneNode(agents.Rollout.Desired), ejectsNoneSentence(v), tlsSentence(v, f), olderSentence(f.OlderConnections), DescribeNotices(f.Notices))
	sentences = slices.DeleteFunc(slices.Concat(sentences, v.Remarks, v.Warnings), func(s string) bool { return s == "" })
	return strings.Join(sentences, " ")
}

// describeLeftOut says what is not enforced on nodes with older agents.
func describeLeftOut(list []distribute.LeftOut) string {
	var sentences []string
	for _, l := range list {
		if l.Nodes == 1 {
			sentences = append(sentences, fmt.Sprintf("The agent on %s is older and does not know %s.", l.Example, l.Feature))
		} else {
			sentences = append(sentences, fmt.Sprintf("The agents on %d nodes, such as %s, are older and do not know %s.", l.Nodes, l.Example, l.Feature))
		}
	}
	return strings.Join(sentences, " ")
}

// lackingFor returns what of a policy nodes with older agents leave out. What is enforced does not depend on whether dry runs are looked at.
func lackingFor(v *index.View, r *distribute.Rollout) []distribute.LeftOut {
	switch v.Mode {
	case v1alpha1.ModeDryRun:
		return r.LeftOut
	case v1alpha1.ModeEnforce:
		return slices.DeleteFunc(slices.Clone(r.LeftOut), func(l distribute.LeftOut) bool { return l.Feature == wire.FeatureDryRun })
	case v1alpha1.ModeDisabled:
	}
	return nil
}

func hostNetworkSentence(v *index.View) string {
	if v.HostNetworkPods == 0 {
		return ""
	}
	return fmt.Sprintf("Selects %s on the host's network in vain.", plural(v.HostNetworkPods, "pod"))
}

// noEndpointsSentence names Services behind which there is nothing. It is no condition of its own: endpoints come and go while pods
// are replaced, and nothing that the policy asks for is missing.
func noEndpointsSentence(v *index.View) string {
	var names []string
	for _, d := range v.Destinations {
		if d.Endpoints != nil && *d.Endpoints == 0 {
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

// ejectsNoneSentence names the first Service of whose endpoints the policy lets a breaker eject none, by how many there are.
func ejectsNoneSentence(v *index.View) string {
	for _, d := range v.Destinations {
		if d.Endpoints == nil {
			continue
		}
		if s := v.Bounds.EjectsNone(d.Label, int(*d.Endpoints)); s != "" {
			return s
		}
	}
	return ""
}

// tlsSentence says with which destinations the agents' own TLS fails, and why: pods hear no more than that it does.
func tlsSentence(v *index.View, f *distribute.Figures) string {
	var names []string
	for _, d := range v.Destinations {
		if reasons := tlsFailures(f, d.Target); len(reasons) > 0 {
			names = append(names, fmt.Sprintf("%s (%s)", d.Label, strings.Join(reasons, ", ")))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("TLS fails with %s.", NameSome(names, len(names)))
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

// DescribeNotices says what there is to know of pods that are captured.
func DescribeNotices(notices []policy.CaptureProblem) string {
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
	return NameSome(names, len(names))
}
