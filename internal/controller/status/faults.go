package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/index"
)

// faultsCondition returns FaultsActive, if the policy injects faults at a time.
func faultsCondition(v *index.View, now time.Time) (metav1.Condition, bool) {
	f := &v.Faults
	if !f.Set() || v.Mode != v1alpha1.ModeEnforce || !now.Before(f.End()) {
		return metav1.Condition{}, false
	}
	message := fmt.Sprintf("Faults are injected until %s, when they end by themselves: %s.", f.End().Format(time.RFC3339), f.What)
	return condition(v1alpha1.ConditionFaultsActive, v1alpha1.ReasonFaultsInjected, message), true
}
