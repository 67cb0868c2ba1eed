package status

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

func TestWhatIsForcedIsACondition(t *testing.T) {
	until := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC).Unix()
	for _, tc := range []struct {
		forced compile.Forced
		mode   v1alpha1.Mode
		want   metav1.Condition
	}{
		{compile.Forced{}, v1alpha1.ModeEnforce, metav1.Condition{}},
		{compile.Forced{ForcedBreaker: policy.ForcedBreaker{Open: true, Until: until}, Entry: -1}, v1alpha1.ModeDisabled, metav1.Condition{}},
		{
			compile.Forced{ForcedBreaker: policy.ForcedBreaker{Open: true, Until: until}, Entry: -1, By: "kubectl-annotate"}, v1alpha1.ModeEnforce,
			condition(v1alpha1.ConditionBreakerForced, v1alpha1.ReasonForcedOpen, "The circuit breakers reject all calls until 2026-03-01T13:00:00Z, "+
				"as the annotation policy.fairlead.dev/circuit-breaker says, written by kubectl-annotate."),
		},
		{
			compile.Forced{ForcedBreaker: policy.ForcedBreaker{Until: until}, Entry: 1}, v1alpha1.ModeEnforce,
			condition(v1alpha1.ConditionBreakerForced, v1alpha1.ReasonForcedClosed, "No circuit breaker opens under to[1] until "+
				"2026-03-01T13:00:00Z, as the annotation policy.fairlead.dev/circuit-breaker says."),
		},
	} {
		if got, _ := forcedCondition(&index.View{Mode: tc.mode, Forced: tc.forced}); got != tc.want {
			t.Errorf("%+v, want %+v", got, tc.want)
		}
	}
}
