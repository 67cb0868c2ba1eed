package telemetry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// What a policy has injected is counted and logged under names of its own, and says nothing of how long an upstream takes.
func TestFaultsAreNotTakenForTheUpstreams(t *testing.T) {
	injected := routes.Attempt{Kind: call.Injected, Status: 503, Took: time.Hour, Detail: routes.DetailFault}
	e := &routes.Exchange{
		AccessLog: policy.AccessLogAll, Attempts: []routes.Attempt{injected, injected}, Detail: routes.DetailFault,
		Outcome: call.Outcome{Kind: call.Injected, Cause: call.Injected, Decision: call.Exhausted, Status: 503, Attempts: 2, Faults: call.FaultCounts{Delays: 1, Responses: 2}},
	}
	var m *Meter
	got := linesOf(t, AccessLogOptions{}, func(of *Meter) {
		m = of
		r := m.Recorder(payments, inventory)
		for i := range e.Attempts {
			r.AttemptDone(&e.Attempts[i])
		}
		r.CallDone(e)
	})
	line := got[0]
	if diff := cmp.Diff(map[string]any{"delays": 1.0, "responses": 2.0}, line["faults"]); diff != "" || line["kind"] != "fault_injected" || line["detail"] != "faults.abort" {
		t.Errorf("logged %v\n%s", line, diff)
	}
	for _, want := range []string{
		`fairlead_proxy_faults_injected_total{kind="delay",policy="shop/payments",target="service warehouse/inventory"} 1`,
		`fairlead_proxy_faults_injected_total{kind="response",policy="shop/payments",target="service warehouse/inventory"} 2`,
		`fairlead_proxy_tries_total{attempt="first",code="",kind="fault_injected",policy="shop/payments",target="service warehouse/inventory"} 2`,
		`fairlead_proxy_requests_total{code="",kind="fault_injected",policy="shop/payments",target="service warehouse/inventory"} 1`,
		`fairlead_proxy_try_duration_seconds_count{policy="shop/payments",target="service warehouse/inventory"} 0`,
	} {
		if lines := scrapeText(t, m, want); len(lines) != 1 {
			t.Errorf("no %s", want)
		}
	}
}
