package telemetry

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
)

// Every reason has a label of its own.
func TestTLSReasonsHaveLabels(t *testing.T) {
	labels := map[string]bool{}
	for _, r := range tlsReasons {
		if r.label == "" || labels[r.label] {
			t.Errorf("%q has the label %q", r.detail, r.label)
		}
		labels[r.label] = true
	}
	for _, r := range tlslayer.Reasons {
		if i, ok := tlsReason(&routes.Attempt{Detail: routes.Detail(r)}, false); !ok || tlsReasons[i].detail != routes.Detail(r) {
			t.Errorf("%q has no label", r)
		}
	}
}

// Failures of TLS are counted by their reasons, and nothing else is among them.
func TestTLSFailuresAreCounted(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for range 2 {
		r.AttemptDone(&routes.Attempt{Kind: call.TLSFailed, Detail: routes.Detail(tlslayer.Expired)})
	}
	r.AttemptDone(&routes.Attempt{Kind: call.ConnectFailed, Detail: routes.DetailResetInHandshake})
	r.AttemptDone(&routes.Attempt{Kind: call.TLSFailed, Detail: "not among them"})
	r.AttemptDone(&routes.Attempt{Kind: call.ConnectFailed, Detail: routes.DetailRefused})
	r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 200})
	want := map[string]bool{
		`{policy="shop/payments",reason="certificate_expired",target="service warehouse/inventory"} 2`: true,
		`{policy="shop/payments",reason="reset",target="service warehouse/inventory"} 1`:               true,
		`{policy="shop/payments",reason="handshake",target="service warehouse/inventory"} 1`:           true,
	}
	lines := scrapeText(t, m, "fairlead_proxy_tls_failures_total{")
	for _, line := range lines {
		if !want[line[len("fairlead_proxy_tls_failures_total"):]] {
			t.Errorf("unexpected %s", line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, want %d", len(lines), len(want))
	}
}
