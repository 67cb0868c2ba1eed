package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/index"
)

// forcedCondition returns BreakerForced, if the policy's annotation keeps circuit breakers open or closed.
func forcedCondition(v *index.View) (metav1.Condition, bool) {
	f := &v.Forced
	if !f.Set() || v.Mode != v1alpha1.ModeEnforce {
		return metav1.Condition{}, false
	}
	reason, what := v1alpha1.ReasonForcedClosed, "No circuit breaker opens"
	if f.Open {
		reason, what = v1alpha1.ReasonForcedOpen, "The circuit breakers reject all calls"
	}
	if f.Entry >= 0 {
		what += fmt.Sprintf(" under to[%d]", f.Entry)
	}
	by := ""
	if f.By != "" {
		by = ", written by " + Bound(f.By, maxManager)
	}
	message := fmt.Sprintf("%s until %s, as the annotation %s says%s.", what, f.End().Format(time.RFC3339), v1alpha1.AnnotationCircuitBreaker, by)
	return condition(v1alpha1.ConditionBreakerForced, reason, message), true
}
