package routes

import (
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// injecting is a binding of which every attempt is reset until a time.
func injecting(until time.Time) policy.Binding {
	b := withBreaker(policy.ShareNode)
	b.Base.Breaker = nil
	b.Base.Faults = &policy.Faults{Until: until.Unix(), Percent: 100, Abort: policy.FaultReset}
	return b
}

// injects reports whether a call that begins now meets a fault.
func injects(t testing.TB, s *Table) bool {
	t.Helper()
	var c call.Call
	a := c.Begin(time.Now(), &routeTo(t, s, "a", "10.96.0.7:80").Plan(nil, nil).Plan, call.Request{})
	c.ClientGone(time.Now())
	return a.Do == call.Inject
}

// Faults end by the agent's own clocks, whether or not a manager is there to take them back, and when they come late, from a copy on disk, they do not begin.
func TestFaultsEndInTime(t *testing.T) {
	for name, tc := range map[string]struct{ until, ends time.Duration }{
		"as written":  {10 * time.Minute, 10 * time.Minute},
		"a day ahead": {24 * time.Hour, 24 * time.Hour},
		"not believed, for nobody could write that": {25 * time.Hour, 0},
		"when they came late, from a copy on disk":  {-time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTable(t)
				until := time.Now().Add(tc.until)
				install(t, s, snapshot(injecting(until)))
				if got := injects(t, s); got != (tc.ends > 0) {
					t.Fatalf("at first a call meets a fault: %v", got)
				}
				if tc.ends > 0 {
					time.Sleep(tc.ends - time.Second)
					install(t, s, snapshot(injecting(until))) // an edit elsewhere
					if !injects(t, s) {
						t.Error("it ends too soon")
					}
					time.Sleep(2 * time.Second)
				}
				if injects(t, s) {
					t.Error("a call meets a fault when it is over")
				}
				install(t, s, snapshot(injecting(until)))
				if injects(t, s) {
					t.Error("what is over begins again when it is installed again")
				}
			})
		})
	}
}

// A clock that is set back prolongs nothing, neither what is in force nor what is installed anew.
func TestAClockThatIsSetBackProlongsNoFaults(t *testing.T) {
	now := time.Now()
	f := &policy.Faults{Until: now.Add(time.Hour).Unix()}
	end := ends{}.ofFaults(f, now.Round(0), now)
	later := now.Add(50 * time.Minute)
	for name, tc := range map[string]struct {
		wall time.Time
		want time.Time
	}{
		"not set":           {later, end},
		"back by an hour":   {later.Add(-time.Hour), end},
		"ahead, to the end": {now.Add(2 * time.Hour), later.Add(now.Add(time.Hour).Truncate(time.Second).Sub(now.Add(2 * time.Hour)))},
	} {
		e := ends{f.Until: end}
		if got := e.ofFaults(f, tc.wall.Round(0), later); got.Sub(tc.want).Abs() > time.Second {
			t.Errorf("%s: ends %v later than it should", name, got.Sub(tc.want))
		}
	}
	if got := (ends{}).ofFaults(f, now.Add(-48*time.Hour).Round(0), now); !got.IsZero() {
		t.Errorf("believed though the clock is two days behind: %v", got)
	}
}

// What has ended stays over where the node's clock is set back, also when other faults have been written meanwhile.
func TestFaultsThatAreOverDoNotBeginAgain(t *testing.T) {
	now, e := time.Now(), ends{}
	over := &policy.Faults{Until: now.Add(time.Hour).Unix()}
	end := e.ofFaults(over, now.Round(0), now)
	later := now.Add(2 * time.Hour)
	e.ofFaults(&policy.Faults{Until: now.Add(5 * time.Hour).Unix()}, later.Round(0), later)
	if got := e.ofFaults(over, now.Round(0), later); !got.Equal(end) {
		t.Errorf("they end %v later than they did", got.Sub(end))
	}
}

// What has ended long ago is forgotten.
func TestEndsOfFaultsAreForgotten(t *testing.T) {
	now, e := time.Now(), ends{}
	for i := range 100 {
		at := now.Add(time.Duration(i) * 24 * time.Hour)
		e.ofFaults(&policy.Faults{Until: at.Add(time.Hour).Unix()}, at.Round(0), at)
	}
	if len(e) > 4 {
		t.Errorf("%d are remembered", len(e))
	}
}

// Rules have faults of their own, connections that are passed through meet what can happen to them, and what calls fall back on meets none.
func TestWhoMeetsFaults(t *testing.T) {
	s := newTable(t)
	b := injecting(time.Now().Add(time.Hour))
	answers := b.Base
	answers.Faults = &policy.Faults{Until: b.Base.Faults.Until, Percent: 7, Abort: policy.FaultResponse, Status: 503}
	b.Rules = []policy.Rule{
		{Name: "r", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: answers},
		{Name: "none", Match: []policy.RequestMatch{{Methods: []string{"GET"}}}, Settings: policy.Defaults()},
	}
	install(t, s, snapshot(b))
	r := routeTo(t, s, "a", "10.96.0.7:80")
	if f := r.Plan([]byte("PUT"), []byte("/")).Faults; f == nil || f.Percent != 7 {
		t.Errorf("under the rule: %+v", f)
	}
	if f := r.Plan([]byte("GET"), []byte("/")).Faults; f != nil {
		t.Errorf("under the rule without: %+v", f)
	}
	if f := r.OpaquePlan().Faults; f == nil || f.Abort != policy.FaultReset {
		t.Errorf("connections: %+v", f)
	}
	if only := oneAttempt(&b.Base); only.Faults != nil {
		t.Errorf("what they fall back on: %+v", only.Faults)
	}
	b.Base = answers
	b.Rules = nil
	install(t, s, snapshot(b))
	if f := routeTo(t, s, "a", "10.96.0.7:80").OpaquePlan().Faults; f == nil || f.Abort != policy.NoFaultAbort {
		t.Errorf("connections cannot be answered: %+v", f)
	}
}

func TestDryRunsInjectNothing(t *testing.T) {
	s := newTable(t)
	b := injecting(time.Now().Add(time.Hour))
	b.Mode = policy.ModeDryRun
	install(t, s, snapshot(b))
	p := routeTo(t, s, "a", "10.96.0.7:80").Plan(nil, nil)
	if p.Faults != nil || p.Shadow != nil && p.Shadow.Faults != nil {
		t.Errorf("%+v", p.Faults)
	}
}
