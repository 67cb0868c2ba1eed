package telemetry

import (
	"fmt"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
)

func TestHedgesAreCountedByWhatBecameOfThem(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for _, o := range []call.Outcome{{}, {Hedges: 1}, {Hedges: 3, HedgeWon: true}, {Hedges: 1, HedgeWon: true}} {
		r.CallDone(&routes.Exchange{Outcome: o})
	}
	for result, n := range map[string]int{"won": 2, "wasted": 3} {
		want := fmt.Sprintf(`fairlead_proxy_hedges_total{policy="shop/payments",result=%q,target="service warehouse/inventory"} %d`, result, n)
		if got := scrapeText(t, m, want); len(got) != 1 {
			t.Errorf("no %s in %v", want, scrapeText(t, m, "fairlead_proxy_hedges"))
		}
	}
	if c := m.Report().Traffic[0].Counts; c.Hedges != 5 || c.HedgesWon != 2 {
		t.Errorf("reported as %+v", c)
	}
}

// One that another destination has answered is answered well, or as that has.
func TestCallsThatAnotherDestinationHasAnswered(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Kind: call.OK, Decision: call.Recovered, Status: 200, Fallback: call.FellBackOnDestination}})
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Kind: call.OK, Decision: call.Exhausted, Status: 502, Fallback: call.FellBackOnDestination}})
	for _, code := range []string{"2xx", "5xx"} {
		if got := scrapeText(t, m, `fairlead_proxy_requests_total{code="`+code+`",kind="ok"`); len(got) != 1 {
			t.Errorf("%s: %v", code, got)
		}
	}
	if got := scrapeText(t, m, `fairlead_proxy_fallbacks_total{answer="destination"`); len(got) != 1 || !strings.HasSuffix(got[0], " 2") {
		t.Errorf("fallbacks: %v", got)
	}
	if c := m.Report().Traffic[0].Counts; c.Requests != 2 || c.Successes != 1 || c.Fallbacks != 2 {
		t.Errorf("reported as %+v", c)
	}
}

// A call that its fallback has answered is no better for the upstream, whatever its client gets.
func TestCallsThatFellBackCountAsWhatTheyFailedBy(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	fell := func(kind call.Kind, d call.RetryDecision, upstream int) {
		r.CallDone(&routes.Exchange{Outcome: call.Outcome{Kind: kind, Decision: d, Status: 200, Upstream: upstream, Fallback: call.FellBackOnResponse}})
	}
	fell(call.OK, call.Exhausted, 503)
	fell(call.BreakerOpen, call.Refused, 0)
	const id = `policy="shop/payments",`
	for _, want := range []string{
		`fairlead_proxy_requests_total{code="5xx",kind="ok",` + id + `target="service warehouse/inventory"} 1`,
		`fairlead_proxy_requests_total{code="",kind="circuit_open",` + id + `target="service warehouse/inventory"} 1`,
		`fairlead_proxy_fallbacks_total{answer="response",` + id + `target="service warehouse/inventory"} 2`,
	} {
		if got := scrapeText(t, m, want); len(got) != 1 {
			t.Errorf("no %s in\n%s", want, strings.Join(scrapeText(t, m, "fairlead_proxy"), "\n"))
		}
	}
	if c := m.Report().Traffic[0].Counts; c.Requests != 2 || c.Successes != 0 || c.BreakerRejected != 1 || c.Fallbacks != 2 {
		t.Errorf("reported as %+v", c)
	}
}
