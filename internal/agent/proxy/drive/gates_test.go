package drive

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// parkingGate parks a call once, and may wake it at once.
type parkingGate struct {
	wakes bool
	until time.Time
	asked int
	left  []resilience.Result
}

func (g *parkingGate) Enter(_ time.Time, w *resilience.Waiter) resilience.Entry {
	if g.asked++; g.asked > 1 {
		return resilience.Entry{Verdict: resilience.Refuse}
	}
	if g.wakes {
		w.Wake()
		w.Wake() // once too often
	}
	return resilience.Entry{Verdict: resilience.Park, Until: g.until}
}

func (g *parkingGate) Leave(_ time.Time, _ *resilience.Waiter, r resilience.Result) {
	g.left = append(g.left, r)
}

// answers is a Protocol for calls that get no attempt.
type answers struct {
	Protocol
	rejected, aborted int
}

func (a *answers) Reject() { a.rejected++ }
func (a *answers) Abort()  { a.aborted++ }

func TestACallIsParkedAtAGate(t *testing.T) {
	for name, gate := range map[string]*parkingGate{
		"until it is woken":    {wakes: true},
		"until its time is up": {until: time.Now()},
	} {
		t.Run(name, func(t *testing.T) {
			x := placing(t, policy.Pool{})
			plan := *x.Plan
			plan.Gates = []call.Gate{gate}
			x.Plan, x.Now = &plan, time.Now()
			var a answers
			x.Run(&a, call.Request{})
			if a.rejected != 1 || gate.asked != 2 || x.Call.Outcome().Kind != call.RateLimited {
				t.Errorf("rejected %d times, asked %d times, %+v", a.rejected, gate.asked, x.Call.Outcome())
			}
		})
	}
	t.Run("until its client leaves", func(t *testing.T) {
		x, gate := placing(t, policy.Pool{}), &parkingGate{}
		plan := *x.Plan
		plan.Gates = []call.Gate{gate}
		x.Plan, x.Now = &plan, time.Now()
		x.Client.Conn.Interrupt()
		var a answers
		x.Run(&a, call.Request{})
		if a.aborted != 1 || len(gate.left) != 1 || x.Detail != routes.DetailClientLeft {
			t.Errorf("aborted %d times, left with %+v, detail %q", a.aborted, gate.left, x.Detail)
		}
	})
}
