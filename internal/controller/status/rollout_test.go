package status

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
)

// What a status says while a generation is rolled out, and after.
func TestStatusShowsHowFarARolloutIs(t *testing.T) {
	until := metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	state := func(phase v1alpha1.RolloutPhase, change func(*v1alpha1.RolloutStatus)) *v1alpha1.RolloutStatus {
		s := &v1alpha1.RolloutStatus{Phase: phase, Generation: 7, Nodes: 1, AllNodes: 3, Boundary: ptr.To[int64](9)}
		if change != nil {
			change(s)
		}
		return s
	}
	all, one := distribute.Rollout{Desired: 3, Programmed: 3}, distribute.Rollout{Desired: 1, Programmed: 1}
	for name, tc := range map[string]struct {
		rollout    *v1alpha1.RolloutStatus
		acting     int64
		all, next  distribute.Rollout
		nodes      string
		programmed string
		extra      string // the condition of kstatus
		message    string
	}{
		"not begun": {state(v1alpha1.RolloutPending, nil), 6, all, distribute.Rollout{}, "0/3", "False/RollingOut", v1alpha1.ConditionReconciling,
			"Generation 7 is about to be rolled out."},
		"on its way": {state(v1alpha1.RolloutUpdating, nil), 6, all, distribute.Rollout{Desired: 1, Pending: 1}, "0/3", "False/RollingOut", v1alpha1.ConditionReconciling,
			"Generation 7 is on its way to 1 of 3 nodes; the others have generation 6."},
		"observed": {state(v1alpha1.RolloutObserving, func(s *v1alpha1.RolloutStatus) { s.Until = &until }), 6, all, one, "1/3", "False/RollingOut", v1alpha1.ConditionReconciling,
			"Generation 7 is on 1 of 3 nodes, and observed there until 2026-01-01T12:00:00Z; the others have generation 6."},
		"of a policy that was made": {state(v1alpha1.RolloutObserving, func(s *v1alpha1.RolloutStatus) { s.Until = &until }), 0, one, one, "1/3", "False/RollingOut", v1alpha1.ConditionReconciling,
			"Generation 7 is on 1 of 3 nodes, and observed there until 2026-01-01T12:00:00Z; the others have none."},
		"taken back": {state(v1alpha1.RolloutRolledBack, func(s *v1alpha1.RolloutStatus) { s.Message = "Why." }), 6, all, distribute.Rollout{}, "0/3", "False/RolledBack", v1alpha1.ConditionStalled,
			"Generation 7 was rolled back: Why. Generation 6 is in force on all nodes until the policy is changed."},
		"a policy that was made taken back": {state(v1alpha1.RolloutRolledBack, func(s *v1alpha1.RolloutStatus) { s.Message = "Why." }), 0, distribute.Rollout{}, distribute.Rollout{}, "0/0", "False/RolledBack",
			v1alpha1.ConditionStalled, "Generation 7 was rolled back: Why. No node has the policy until the policy is changed."},
		"complete": {state(v1alpha1.RolloutComplete, nil), 7, all, distribute.Rollout{}, "3/3", "True/Programmed", "", "All 3 nodes have it (generation 7)."},
	} {
		t.Run(name, func(t *testing.T) {
			v := &index.View{Generation: 7, Mode: v1alpha1.ModeEnforce, InForce: true, ActingGeneration: tc.acting, Pods: 3, Rollout: tc.rollout}
			s := Of(v, &Reports{Rollout: tc.all, Next: tc.next}, before(), until)
			c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionProgrammed)
			if got := string(c.Status) + "/" + c.Reason; got != tc.programmed || c.Message != tc.message || s.Nodes.Summary != tc.nodes {
				t.Errorf("nodes %s, programmed %s: %q", s.Nodes.Summary, got, c.Message)
			}
			for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
				if got := meta.FindStatusCondition(s.Conditions, kind); (got != nil) != (kind == tc.extra) {
					t.Errorf("%s: %+v", kind, got)
				} else if got != nil && got.Reason != c.Reason {
					t.Errorf("%s has the reason %s", kind, got.Reason)
				}
			}
			if s.Rollout == nil || s.InForceGeneration != tc.acting {
				t.Errorf("rollout %+v, generation %d in force", s.Rollout, s.InForceGeneration)
			}
		})
	}
}
