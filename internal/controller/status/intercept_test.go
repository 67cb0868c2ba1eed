package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// The API and agents have one name for each reason.
func TestReasonsOfInterceptionHaveOneName(t *testing.T) {
	if v1alpha1.ReasonTLSNotTrusted != policy.NoticeTLSNotTrusted || v1alpha1.ReasonTLSNoIssuer != policy.NoticeTLSNoIssuer {
		t.Error("they differ")
	}
}

// What is not intercepted though the policy asks for it is said of the destinations concerned, and in the condition, with a pod and how often.
func TestTLSThatIsNotInterceptedIsNotEnforced(t *testing.T) {
	v := index.View{Mode: v1alpha1.ModeEnforce, InForce: true, Destinations: []index.Destination{
		{Destination: compile.Destination{Index: 0, Label: "a.example"}}, {Destination: compile.Destination{Index: 1, Label: "b.example", Intercepts: true}},
	}}
	untrusting := policy.CaptureProblem{Namespace: "shop", Pod: "billing-1", Reason: policy.NoticeTLSNotTrusted, Message: "it ended 3 TLS handshakes to b.example"}
	unissued := policy.CaptureProblem{Namespace: "shop", Pod: "billing-2", Reason: policy.NoticeTLSNoIssuer, Message: "the node has no issuer"}
	for name, tc := range map[string]struct {
		notices []policy.CaptureProblem
		mode    v1alpha1.Mode
		fields  []v1alpha1.NotEnforcedField
		reason  string
		says    []string
	}{
		"all is well":  {notices: []policy.CaptureProblem{{Reason: "RulesChanged"}}},
		"not trusted":  {[]policy.CaptureProblem{untrusting}, "", []v1alpha1.NotEnforcedField{{Field: "to[1].tls.mode", Reason: "TLSNotTrusted"}}, "TLSNotTrusted", []string{"shop/billing-1", "ended 3 TLS handshakes"}},
		"no issuer":    {[]policy.CaptureProblem{unissued}, "", []v1alpha1.NotEnforcedField{{Field: "to[1].tls", Reason: "TLSNoIssuer"}}, "TLSNoIssuer", []string{"shop/billing-2", "no issuer"}},
		"both":         {[]policy.CaptureProblem{untrusting, unissued}, "", []v1alpha1.NotEnforcedField{{Field: "to[1].tls.mode", Reason: "TLSNotTrusted"}, {Field: "to[1].tls", Reason: "TLSNoIssuer"}}, "Several", nil},
		"not enforced": {[]policy.CaptureProblem{untrusting}, v1alpha1.ModeDisabled, nil, "TLSNotTrusted", nil},
	} {
		t.Run(name, func(t *testing.T) {
			view := v
			if tc.mode != "" {
				view.Mode = tc.mode
			}
			f := distribute.Figures{Notices: tc.notices}
			got := destinationStatuses(&view, &f, &v1alpha1.PolicyStatus{}, metav1.Now())
			if len(got[0].NotEnforced) > 0 {
				t.Errorf("of another destination it is said that %v", got[0].NotEnforced)
			}
			if diff := cmp.Diff(tc.fields, got[1].NotEnforced); diff != "" {
				t.Error(diff)
			}
			if want := len(tc.fields) > 0; want != (got[1].Enforced == v1alpha1.EnforcementPartial) {
				t.Errorf("enforced: %s", got[1].Enforced)
			}
			c := meta.FindStatusCondition(extraConditions(&view, &Reports{Figures: f}), v1alpha1.ConditionPartiallyEnforced)
			if (c != nil) != (tc.reason != "") || c != nil && c.Reason != tc.reason {
				t.Fatalf("the condition is %+v", c)
			}
			for _, s := range tc.says {
				if !strings.Contains(c.Message, s) {
					t.Errorf("it does not say %q: %s", s, c.Message)
				}
			}
		})
	}
}
