package status

import (
	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
)

// addUntraced says that not all calls are traced as the policy asks, for want of somewhere to send spans.
func addUntraced(s *v1alpha1.DestinationStatus, f *distribute.Figures) {
	if s.Enforced == v1alpha1.EnforcementNone || len(s.NotEnforced) >= v1alpha1.MaxNotEnforced || len(noticesOf(f, v1alpha1.ReasonNoTraceExporter)) == 0 {
		return
	}
	for _, n := range s.NotEnforced {
		if n.Field == tracingField { // where there is nothing to trace, that is why
			return
		}
	}
	s.Enforced = v1alpha1.EnforcementPartial
	s.NotEnforced = append(s.NotEnforced, v1alpha1.NotEnforcedField{Field: tracingField, Reason: v1alpha1.ReasonNoTraceExporter})
}

const tracingField = "observability.tracing"
