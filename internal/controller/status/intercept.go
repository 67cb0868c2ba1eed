package status

import (
	"fmt"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// interceptionReasons are the reasons of notices that TLS which a policy intercepts is not intercepted. The API calls them the same.
var interceptionReasons = [...]string{v1alpha1.ReasonTLSNotTrusted, v1alpha1.ReasonTLSNoIssuer}

// noticeSentences are the reasons of notices that something which a policy asks for is not done, and what is said of it, in their order.
var noticeSentences = [...]struct{ reason, sentence string }{
	{v1alpha1.ReasonTLSNotTrusted, "TLS is not intercepted"},
	{v1alpha1.ReasonTLSNoIssuer, "TLS is not intercepted"},
	{v1alpha1.ReasonNoTraceExporter, "Calls are not traced"},
}

// describeBy says what is not done, and of which pods. Agents name a pod each.
func describeBy(sentence, reason string, notices []policy.CaptureProblem) string {
	var names []string
	for _, n := range notices {
		names = append(names, fmt.Sprintf("%s/%s (%s)", n.Namespace, n.Pod, n.Message))
	}
	return fmt.Sprintf("%s (%s): %s.", sentence, reason, NameSome(names, len(names)))
}

// noticesOf returns the notices with a reason.
func noticesOf(f *distribute.Figures, reason string) (out []policy.CaptureProblem) {
	for _, n := range f.Notices {
		if n.Reason == reason {
			out = append(out, n)
		}
	}
	return out
}

// addUnintercepted says that not all TLS to entry i of to is intercepted, as the policy asks.
func addUnintercepted(s *v1alpha1.DestinationStatus, i int, f *distribute.Figures) {
	if s.Enforced == v1alpha1.EnforcementNone {
		return
	}
	for n, reason := range interceptionReasons {
		if len(noticesOf(f, reason)) == 0 || len(s.NotEnforced) >= v1alpha1.MaxNotEnforced {
			continue
		}
		// A field is listed once.
		field := [...]string{"to[%d].tls.mode", "to[%d].tls"}[n]
		s.Enforced = v1alpha1.EnforcementPartial
		s.NotEnforced = append(s.NotEnforced, v1alpha1.NotEnforcedField{Field: fmt.Sprintf(field, i), Reason: reason})
	}
}
