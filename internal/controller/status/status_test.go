package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// before is a status that is not the first.
func before() *v1alpha1.PolicyStatus {
	return &v1alpha1.PolicyStatus{Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionTrue, ObservedGeneration: 3, LastTransitionTime: metav1.NewTime(begin)}}}
}

func brief(s *v1alpha1.PolicyStatus) []string {
	var out []string
	for _, c := range s.Conditions {
		out = append(out, fmt.Sprintf("%s %s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return out
}

func TestConditions(t *testing.T) {
	enforce := index.View{Generation: 3, Mode: v1alpha1.ModeEnforce, Pods: 5, InForce: true}
	with := func(change func(*index.View)) index.View {
		v := enforce
		change(&v)
		return v
	}
	tests := map[string]struct {
		view    index.View
		rollout distribute.Rollout
		want    []string
	}{
		"all is well": {enforce, distribute.Rollout{Desired: 2, Programmed: 2}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed True Programmed: All 2 nodes have it (generation 3).",
			"Ready True Ready: In force for 5 pods on 2 nodes.",
		}},
		"nodes have yet to answer": {enforce, distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, Waiting: []distribute.Waiting{{Node: "b", Connected: true}}}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed False WaitingForNodes: 1 of 2 nodes acknowledged it.",
			"Ready False WaitingForNodes: 1 of 2 nodes acknowledged it.",
			"Reconciling True Progressing: 1 of 2 nodes acknowledged it.",
		}},
		"nodes without an agent": {enforce, distribute.Rollout{Desired: 9, Pending: 9, Waiting: []distribute.Waiting{{Node: "a"}, {Node: "b"}, {Node: "c"}, {Node: "d"}}}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed False NodesDisconnected: 0 of 9 nodes acknowledged it; no agent is connected on a, b, c and 6 more.",
			"Ready False NodesDisconnected: 0 of 9 nodes acknowledged it; no agent is connected on a, b, c and 6 more.",
			"Reconciling True Progressing: 0 of 9 nodes acknowledged it; no agent is connected on a, b, c and 6 more.",
		}},
		"a node refuses while another has yet to answer": {enforce, distribute.Rollout{Desired: 2, Failed: 1, Pending: 1, Failures: []distribute.Failure{{Node: "a", Reason: 3, Message: "no"}}}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed False RefusedByNodes: 1 of 2 nodes refused it: a (Invalid: no)",
			"Ready False RefusedByNodes: 1 of 2 nodes refused it: a (Invalid: no)",
			"Reconciling True Progressing: 1 of 2 nodes refused it: a (Invalid: no)",
		}},
		"nobody is left who could still take it": {enforce, distribute.Rollout{Desired: 2, Failed: 1, Programmed: 1, Failures: []distribute.Failure{{Node: "a", Reason: 3, Message: "no"}}}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed False RefusedByNodes: 1 of 2 nodes refused it: a (Invalid: no)",
			"Ready False RefusedByNodes: 1 of 2 nodes refused it: a (Invalid: no)",
			"Stalled True RefusedByNodes: 1 of 2 nodes refused it: a (Invalid: no)",
		}},
		"after a change of leader, nodes not heard of count as before": {enforce, distribute.Rollout{Desired: 2, Unknown: 2}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed True Programmed: All 2 nodes have it (generation 3).",
			"Ready True Ready: In force for 5 pods on 2 nodes.",
		}},
		"for a new generation they do not": {with(func(v *index.View) { v.Generation = 4 }), distribute.Rollout{Desired: 2, Unknown: 2}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed False WaitingForNodes: 0 of 2 nodes acknowledged it.",
			"Ready False WaitingForNodes: 0 of 2 nodes acknowledged it.",
			"Reconciling True Progressing: 0 of 2 nodes acknowledged it.",
		}},
		"no pods": {with(func(v *index.View) { v.Pods = 0 }), distribute.Rollout{}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed True NoMatchingPods: No pod is selected, so no node needs it.",
			"Ready True Ready: In force, but no running pod is selected.",
		}},
		"disabled": {with(func(v *index.View) { v.Mode, v.InForce = v1alpha1.ModeDisabled, false }), distribute.Rollout{}, []string{
			"Accepted True Accepted: The policy is valid.",
			"Programmed True Disabled: The mode is Disabled, so no node has it.",
			"Ready True Disabled: The mode is Disabled: no call is governed.",
		}},
		"problems, with a last good version": {with(func(v *index.View) {
			v.Problems = []compile.Problem{{Reason: v1alpha1.ReasonServiceNotFound, Message: "One."}, {Reason: v1alpha1.ReasonPortNotFound, Message: "Two."}}
		}), distribute.Rollout{Desired: 2, Programmed: 2}, []string{
			"Accepted False ServiceNotFound: One. Two. The last good version stays in force.",
			"Programmed False NotAccepted: This generation is not accepted, so no node has it.",
			"Ready False ServiceNotFound: One. Two. The last good version stays in force.",
			"Stalled True ServiceNotFound: One. Two. The last good version stays in force.",
		}},
		"warnings and gaps": {with(func(v *index.View) {
			v.Warnings, v.HostNetworkPods = []string{"Odd."}, 2
			v.Unenforced = []compile.UnenforcedField{opaque("rules")}
		}), distribute.Rollout{Desired: 2, Programmed: 2}, []string{
			"Accepted True AcceptedWithWarnings: Odd.",
			"Programmed True Programmed: All 2 nodes have it (generation 3).",
			"Ready True Ready: In force for 5 pods on 2 nodes. Without effect where there are no requests: rules. " +
				"Selects 2 pods on the host's network in vain. Odd.",
			"PartiallyEnforced True Several: Without effect where there are no requests: rules. Selects 2 pods on the host's network in vain.",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := Of(&tc.view, &Reports{Rollout: tc.rollout}, before(), metav1.NewTime(begin.Add(time.Hour)))
			if diff := cmp.Diff(tc.want, brief(s)); diff != "" {
				t.Error(diff)
			}
			for _, c := range s.Conditions {
				if c.ObservedGeneration != tc.view.Generation {
					t.Errorf("%s is about generation %d", c.Type, c.ObservedGeneration)
				}
				kept := c.Type == v1alpha1.ConditionProgrammed && c.Status == metav1.ConditionTrue
				if kept != c.LastTransitionTime.Time.Equal(begin) {
					t.Errorf("%s turned at %s", c.Type, c.LastTransitionTime)
				}
			}
		})
	}
}

func opaque(field string) compile.UnenforcedField {
	return compile.UnenforcedField{Field: field, Reason: v1alpha1.ReasonOpaqueProtocol, Target: 0}
}

// The message of Ready is the column MESSAGE: whoever reads nothing else must not take for in force what is not.
func TestReadySaysWhatIsNotInForce(t *testing.T) {
	encrypted := compile.UnenforcedField{Field: "to[0].host", Reason: v1alpha1.ReasonEncrypted}
	tests := map[string]struct {
		pods  int
		gaps  []compile.UnenforcedField
		notes []string
		want  string
	}{
		"three fields": {1, []compile.UnenforcedField{opaque("a"), opaque("b"), opaque("c")}, nil,
			"In force for 1 pod on 1 node. Without effect where there are no requests: a, b, c."},
		"many fields, of which PartiallyEnforced names the others": {1, []compile.UnenforcedField{opaque("a"), opaque("b"), opaque("c"), opaque("d")}, nil,
			"In force for 1 pod on 1 node. Without effect where there are no requests: a, b, c."},
		"no pods": {0, []compile.UnenforcedField{opaque("rules")}, nil,
			"In force, but no running pod is selected. Without effect where there are no requests: rules."},
		"encrypted calls and a warning": {1, []compile.UnenforcedField{encrypted}, []string{"Odd."},
			"In force for 1 pod on 1 node. Governed as whole connections where the calls are encrypted: to[0].host. Odd."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := index.View{Generation: 3, Mode: v1alpha1.ModeEnforce, Pods: tc.pods, InForce: true, Unenforced: tc.gaps, Warnings: tc.notes}
			s := Of(&v, &Reports{Rollout: distribute.Rollout{Desired: tc.pods, Programmed: tc.pods}}, before(), metav1.NewTime(begin))
			if got := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); got.Message != tc.want || got.Status != metav1.ConditionTrue {
				t.Errorf("%s: %q, want %q", got.Status, got.Message, tc.want)
			}
		})
	}
}

// Ready and Stalled have the reason of the condition that is missing, so that a tool need not look for it.
func TestReadyAndStalledHaveTheReasonOfAccepted(t *testing.T) {
	for _, reason := range []string{v1alpha1.ReasonServiceNotFound, v1alpha1.ReasonPortNotFound, v1alpha1.ReasonConflicted, v1alpha1.ReasonInvalid} {
		v := index.View{Generation: 3, Mode: v1alpha1.ModeEnforce, Problems: []compile.Problem{{Reason: reason, Message: "No."}}}
		s := Of(&v, &Reports{}, before(), metav1.NewTime(begin))
		for kind, want := range map[string]metav1.ConditionStatus{v1alpha1.ConditionReady: metav1.ConditionFalse, v1alpha1.ConditionStalled: metav1.ConditionTrue} {
			if c := meta.FindStatusCondition(s.Conditions, kind); c == nil || c.Status != want || c.Reason != reason {
				t.Errorf("%s: %s is %+v", reason, kind, c)
			}
		}
	}
}

func TestPodsThatCouldNotBeCapturedAreNamed(t *testing.T) {
	id := policy.ParseID("shop/p")
	problem := policy.CaptureProblem{Namespace: "shop", Pod: "a", Policies: []policy.ID{id}, Reason: "NoNamespace", Message: "gone"}
	v := index.View{ID: id, Generation: 3, Mode: v1alpha1.ModeEnforce, Pods: 5, InForce: true, Reports: map[index.ReportKey]struct{}{{Policy: id, Target: "any"}: {}}}
	f := Sum(&v, func(policy.ID) distribute.Figures {
		return distribute.Figures{Problems: []policy.CaptureProblem{problem, problem}}
	})
	s := Of(&v, &Reports{Rollout: distribute.Rollout{Desired: 2, Programmed: 2}, Figures: f}, before(), metav1.NewTime(begin))
	want := "PartiallyEnforced True NotCaptured: Could not capture the calls of shop/a (NoNamespace: gone)."
	if got := brief(s); len(got) != 4 || got[3] != want {
		t.Errorf("got %q", got)
	}
}

func TestStatusIsBounded(t *testing.T) {
	long := strings.Repeat("ü", 2000)
	v := index.View{Generation: 1, Mode: v1alpha1.ModeEnforce, InForce: true, Problems: []compile.Problem{{Reason: "X", Message: long}}}
	r := distribute.Rollout{Desired: 5000, Failed: 5000}
	for i := range 40 {
		v.Destinations = append(v.Destinations, index.Destination{Destination: compile.Destination{Label: long}})
		v.Unenforced = append(v.Unenforced, compile.UnenforcedField{Field: fmt.Sprintf("%d%s", i, long), Target: -1})
		v.Overrides = append(v.Overrides, v1alpha1.PolicyReference{Name: fmt.Sprint(i)})
		r.Failures = append(r.Failures, distribute.Failure{Node: fmt.Sprint(i), Message: long})
	}
	s := Of(&v, &Reports{Rollout: r}, before(), metav1.Now())
	for _, c := range s.Conditions {
		if len(c.Message) > maxMessage {
			t.Errorf("%s has a message of %d bytes", c.Type, len(c.Message))
		}
	}
	if len(s.Destinations) != v1alpha1.MaxDestinationStatuses || len(s.Destinations[0].To) > maxLabel || len(s.DestinationSummary) > maxSummary {
		t.Errorf("%d destinations, the first of %d bytes, summary of %d", len(s.Destinations), len(s.Destinations[0].To), len(s.DestinationSummary))
	}
	if n := s.Destinations[0].NotEnforced; len(n) != v1alpha1.MaxNotEnforced || len(n[0].Field) > maxField {
		t.Errorf("%d fields not enforced, the first of %d bytes", len(n), len(n[0].Field))
	}
	if f := s.Nodes.Failures; len(f) != v1alpha1.MaxNodeFailures || len(f[0].Message) > maxFailure {
		t.Errorf("%d failures, the first of %d bytes", len(f), len(f[0].Message))
	}
	if e := s.Effective; len(e.Overrides) != v1alpha1.MaxPolicyReferences || e.MoreOverrides != 40-v1alpha1.MaxPolicyReferences {
		t.Errorf("%d overrides and %d more", len(e.Overrides), e.MoreOverrides)
	}
}
