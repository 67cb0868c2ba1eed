package telemetry

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Each thing that a dry run can do is in the report, once.
func TestReportTellsWhatDryRunsWouldHaveDone(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for w := range call.WouldCount {
		r.DryRunDone(w)
	}
	opened := uint64(0)
	m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
		f(routes.Stats{Policy: payments, Target: inventory, Destination: "d"})
		f(routes.Stats{
			Policy: payments, Target: inventory, Destination: "d", Shadow: true, BreakersOpen: 1,
			Breakers: []resilience.Status{{State: resilience.Open, Opened: opened}},
		})
	}})
	m.reportAt(t0.Add(-time.Second)) // what was before is no event
	opened = 2
	for w := range call.WouldCount {
		r.DryRunDone(w)
	}
	got := m.reportAt(t0).Traffic
	if len(got) != 1 {
		t.Fatalf("reported %+v", got)
	}
	want := policy.DryRunCounts{
		Calls: uint64(call.WouldCount), Retried: 1, Hedged: 1, TimedOut: 3, CircuitOpen: 1, Limited: 1, Queued: 1, Fallback: 1, NotRetried: 1, LetIn: 1,
		Other: 1, BreakersOpened: 2,
	}
	if c := got[0].Counts.DryRun; c != want || c.Differing() != uint64(call.WouldCount)-1 {
		t.Errorf("reported %+v", c)
	}
	if got[0].DryBreakersOpen != 1 || got[0].BreakersOpen != 0 {
		t.Errorf("%d would be open, %d are", got[0].DryBreakersOpen, got[0].BreakersOpen)
	}
}
