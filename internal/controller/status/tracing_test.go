package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Where agents have nowhere to send spans, destinations and the condition say so, and whom it concerns.
func TestCallsThatNoAgentTracesAreSaid(t *testing.T) {
	if v1alpha1.ReasonNoTraceExporter != policy.NoticeNoTraceExporter {
		t.Error("the API and agents have two names for it")
	}
	opaque := compile.UnenforcedField{Field: "observability.tracing", Reason: v1alpha1.ReasonOpaqueProtocol, Target: 1}
	v := index.View{Mode: v1alpha1.ModeEnforce, InForce: true, Unenforced: []compile.UnenforcedField{opaque}, Destinations: []index.Destination{
		{Destination: compile.Destination{Index: 0, Label: "a.example"}}, {Destination: compile.Destination{Index: 1, Label: "b.example"}},
	}}
	notice := policy.CaptureProblem{Namespace: "shop", Pod: "billing-1", Reason: policy.NoticeNoTraceExporter, Message: "set OTEL_EXPORTER_OTLP_ENDPOINT"}
	f := distribute.Figures{Notices: []policy.CaptureProblem{notice}}
	got := destinationStatuses(&v, &f, &v1alpha1.PolicyStatus{}, metav1.Now())
	for i, want := range []string{v1alpha1.ReasonNoTraceExporter, v1alpha1.ReasonOpaqueProtocol} {
		fields := []v1alpha1.NotEnforcedField{{Field: "observability.tracing", Reason: want}}
		if d := cmp.Diff(fields, got[i].NotEnforced); d != "" || got[i].Enforced != v1alpha1.EnforcementPartial {
			t.Errorf("destination %d is enforced: %s %s", i, got[i].Enforced, d)
		}
	}
	c, ok := partiallyEnforcedCondition(&v, &Reports{Figures: f})
	if !ok || c.Reason != v1alpha1.ReasonSeveral || !strings.Contains(c.Message, "Calls are not traced (NoTraceExporter): shop/billing-1 (set OTEL_EXPORTER_OTLP_ENDPOINT).") {
		t.Errorf("%+v", c)
	}
	v.Unenforced = nil
	if _, ok := partiallyEnforcedCondition(&v, &Reports{}); ok {
		t.Error("it is said without a notice")
	}
}
