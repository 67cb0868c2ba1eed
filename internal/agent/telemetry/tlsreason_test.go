package telemetry

import (
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
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

// A report says what failed since the last one, in order.
func TestTLSFailuresAreReported(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	fail := func(why tlslayer.Reason) {
		r.AttemptDone(&routes.Attempt{Kind: call.TLSFailed, Detail: routes.Detail(why)})
	}
	report := func() []policy.TLSFailure {
		r.CallDone(ended(call.TLSFailed, call.NotRetryable, 502))
		return m.reportAt(t0).Traffic[0].TLSFailures
	}
	fail(tlslayer.WrongHost)
	fail(tlslayer.Expired)
	fail(tlslayer.WrongHost)
	want := []policy.TLSFailure{{Reason: "certificate_expired", Count: 1}, {Reason: "wrong_host", Count: 2}}
	if got := report(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	fail(tlslayer.Expired)
	if got := report(); !slices.Equal(got, want[:1]) {
		t.Errorf("the second time got %+v", got)
	}
	if got := report(); len(got) > 0 {
		t.Errorf("the third time got %+v", got)
	}
	if len(tlsReasons) > policy.MaxTLSFailures {
		t.Errorf("there are %d reasons, a report has room for %d", len(tlsReasons), policy.MaxTLSFailures)
	}
}
