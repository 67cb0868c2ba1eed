package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// What pods call over QUIC passes by: destinations that may be called so say it, as long as it is seen.
func TestQUICThatWasSeenIsNotEnforced(t *testing.T) {
	v := index.View{Mode: v1alpha1.ModeEnforce, InForce: true, Destinations: []index.Destination{
		{Destination: compile.Destination{Index: 0, Label: "a.example", MeetsQUIC: true}}, {Destination: compile.Destination{Index: 1, Label: "ns/shop"}},
	}}
	seen := distribute.Figures{Notices: []policy.CaptureProblem{{Reason: policy.NoticeQUICSeen}}}
	for name, tc := range map[string]struct {
		change func(*index.View)
		f      distribute.Figures
		want   []v1alpha1.Enforcement
		fields []v1alpha1.NotEnforcedField
	}{
		"not seen": {nil, distribute.Figures{Notices: []policy.CaptureProblem{{Reason: "RulesChanged"}}},
			[]v1alpha1.Enforcement{v1alpha1.EnforcementFull, v1alpha1.EnforcementFull}, nil},
		"seen": {nil, seen, []v1alpha1.Enforcement{v1alpha1.EnforcementPartial, v1alpha1.EnforcementFull},
			[]v1alpha1.NotEnforcedField{{Field: "to[0]", Reason: v1alpha1.ReasonQUICSeen}}},
		"nothing is enforced": {func(v *index.View) { v.Mode = v1alpha1.ModeDisabled }, seen,
			[]v1alpha1.Enforcement{v1alpha1.EnforcementNone, v1alpha1.EnforcementNone}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			view := v
			if tc.change != nil {
				tc.change(&view)
			}
			got := destinationStatuses(&view, &tc.f, &v1alpha1.PolicyStatus{}, metav1.Now())
			if diff := cmp.Diff(tc.want, []v1alpha1.Enforcement{got[0].Enforced, got[1].Enforced}); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.fields, got[0].NotEnforced); diff != "" {
				t.Error(diff)
			}
		})
	}
}
