package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/rollout"
)

// isHeld reports whether some nodes keep an earlier generation, because a rollout has yet to reach them or was taken back.
func isHeld(v *index.View) bool {
	return v.Rollout != nil && v.Rollout.Phase != v1alpha1.RolloutComplete
}

// shownRollout returns the nodes as status counts them: while a rollout is under way or was taken back, those alone have this generation that
// it has reached.
func shownRollout(v *index.View, agents *Reports) distribute.Rollout {
	if !isHeld(v) {
		return agents.Rollout
	}
	r, all := agents.Next, agents.Rollout
	if rollout.UnderWay(v.Rollout) {
		all.Desired = max(all.Desired, int(v.Rollout.AllNodes))
	}
	r.Pending += max(all.Desired-r.Desired, 0)
	r.Desired = max(all.Desired, r.Desired)
	return r
}

// heldCondition is Programmed while some nodes keep an earlier generation.
func heldCondition(v *index.View) metav1.Condition {
	s := v.Rollout
	rest := "the others have none"
	if v.ActingGeneration > 0 {
		rest = fmt.Sprintf("the others have generation %d", v.ActingGeneration)
	}
	switch s.Phase {
	case v1alpha1.RolloutRolledBack:
		back := "no node has the policy"
		if v.ActingGeneration > 0 {
			back = fmt.Sprintf("generation %d is in force on all nodes", v.ActingGeneration)
		}
		return programmedFalse(v1alpha1.ReasonRolledBack, "Generation %d was rolled back: %s %s until the policy is changed.",
			s.Generation, s.Message, upperFirst(back))
	case v1alpha1.RolloutObserving:
		return programmedFalse(v1alpha1.ReasonRollingOut, "Generation %d is on %d of %s, and observed there until %s; %s.",
			s.Generation, s.Nodes, plural(int(s.AllNodes), "node"), untilText(s), rest)
	case v1alpha1.RolloutUpdating:
		return programmedFalse(v1alpha1.ReasonRollingOut, "Generation %d is on its way to %d of %s; %s.",
			s.Generation, s.Nodes, plural(int(s.AllNodes), "node"), rest)
	case v1alpha1.RolloutPending, v1alpha1.RolloutComplete:
	}
	return programmedFalse(v1alpha1.ReasonRollingOut, "Generation %d is about to be rolled out.", s.Generation)
}

func untilText(s *v1alpha1.RolloutStatus) string {
	if s.Until == nil {
		return "later"
	}
	return s.Until.UTC().Format(time.RFC3339)
}

func upperFirst(s string) string { return string(s[0]-'a'+'A') + s[1:] }
