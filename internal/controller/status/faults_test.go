package status

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
)

// What is injected is a condition until it ends, of a policy that acts.
func TestWhatIsInjectedIsACondition(t *testing.T) {
	end := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	active := compile.ActiveFaults{Until: end.Unix(), What: "10 % of attempts are reset"}
	for name, tc := range map[string]struct {
		faults compile.ActiveFaults
		mode   v1alpha1.Mode
		now    time.Time
		want   string
	}{
		"nothing":                  {compile.ActiveFaults{}, v1alpha1.ModeEnforce, end.Add(-time.Second), ""},
		"in force":                 {active, v1alpha1.ModeEnforce, end.Add(-time.Second), "Faults are injected until 2026-03-01T13:00:00Z, when they end by themselves: 10 % of attempts are reset."},
		"over":                     {active, v1alpha1.ModeEnforce, end, ""},
		"a dry run":                {active, v1alpha1.ModeDryRun, end.Add(-time.Second), ""},
		"a policy that has no say": {active, v1alpha1.ModeDisabled, end.Add(-time.Second), ""},
	} {
		s := Of(&index.View{Mode: tc.mode, Faults: tc.faults}, &Reports{}, &v1alpha1.PolicyStatus{}, metav1.NewTime(tc.now))
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionFaultsActive)
		switch {
		case (c != nil) != (tc.want != ""):
			t.Errorf("%s: %+v", name, c)
		case c != nil && (c.Message != tc.want || c.Reason != v1alpha1.ReasonFaultsInjected):
			t.Errorf("%s: %+v", name, c)
		}
	}
}
