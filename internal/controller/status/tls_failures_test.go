package status

import (
	"fmt"
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

func TestTheStatusSaysWhyTLSFails(t *testing.T) {
	v := reporting(false)
	v.Destinations = []index.Destination{
		{Destination: compile.Destination{Label: "a.example", Target: "host a.example"}}, {Destination: compile.Destination{Label: "any", Target: "any"}},
	}
	f := distribute.Figures{AsOf: begin, Targets: []distribute.TargetFigures{
		{Target: "host a.example", TLSFailures: []policy.TLSFailure{{Reason: "certificate_expired", Count: 3}, {Reason: "wrong_host", Count: 1}}},
		{Target: "host a.example", TLSFailures: []policy.TLSFailure{{Reason: "alpn", Count: 1}, {Reason: "wrong_host", Count: 1}}}, // of another policy merged
	}}
	got := destinationStatuses(v, &f, &v1alpha1.PolicyStatus{}, metav1.NewTime(begin))
	if diff := cmp.Diff([]string{"alpn", "certificate_expired", "wrong_host"}, got[0].TLSFailures); diff != "" || len(got[1].TLSFailures) > 0 {
		t.Errorf("%s; elsewhere %v", diff, got[1].TLSFailures)
	}
	if s := tlsSentence(v, &f); s != "TLS fails with a.example (alpn, certificate_expired, wrong_host)." {
		t.Error(s)
	}
	if s := reservations(v, &Reports{Figures: f}); !strings.Contains(s, " TLS fails with a.example (") {
		t.Errorf("Ready says %q", s)
	}
	if s := tlsSentence(v, &distribute.Figures{}); s != "" {
		t.Error(s)
	}
	for i := range 3 * v1alpha1.MaxTLSFailures {
		f.Targets[0].TLSFailures = append(f.Targets[0].TLSFailures, policy.TLSFailure{Reason: fmt.Sprint("z_", i)})
	}
	if n := len(tlsFailures(&f, "host a.example")); n != v1alpha1.MaxTLSFailures {
		t.Errorf("%d reasons", n)
	}
}
