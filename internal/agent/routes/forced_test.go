package routes

import (
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

func forcedBinding(open bool, until time.Time) policy.Binding {
	b := withBreaker(policy.ShareNode)
	b.ForcedBreaker = policy.ForcedBreaker{Open: open, Until: until.Unix()}
	return b
}

func allows(t testing.TB, s *Table) bool {
	t.Helper()
	b := routeTo(t, s, "a", "10.96.0.7:80").Plan(nil, nil).Breaker
	p, ok := b.Allow(time.Now())
	if ok {
		b.Cancel(p)
	}
	return ok
}

// What is forced ends by the agent's own clock, whether or not a manager is there to take it back, and never later than a day after it came.
func TestWhatIsForcedEndsInTime(t *testing.T) {
	for name, tc := range map[string]struct{ until, ends time.Duration }{
		"as written":                             {10 * time.Minute, 10 * time.Minute},
		"a day after it came, at the latest":     {100 * time.Hour, 24 * time.Hour},
		"when it came late, from a copy on disk": {-time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTable(t)
				until := time.Now().Add(tc.until)
				install(t, s, snapshot(forcedBinding(true, until)))
				for _, at := range []time.Duration{0, tc.ends / 2, tc.ends - time.Second} {
					if at >= 0 && at < tc.ends && allows(t, s) {
						t.Fatalf("a call passes %s after it came", at)
					}
					if at >= 0 && at < tc.ends {
						time.Sleep(max(tc.ends/2-time.Second, 0))
						install(t, s, snapshot(forcedBinding(true, until))) // an edit elsewhere
					}
				}
				time.Sleep(tc.ends + time.Second)
				if !allows(t, s) {
					t.Error("no call passes when it is over")
				}
			})
		})
	}
}

// A clock that is set back prolongs nothing, neither what is in force nor what comes again, as with a pod of its own profile; and one that is set ahead does not
// end what is in force.
func TestAClockThatIsSetBackProlongsNothingForced(t *testing.T) {
	now := time.Now()
	f := policy.ForcedBreaker{Open: true, Until: now.Add(time.Hour).Unix()}
	e := ends{}
	end := e.ofForced(f, now.Round(0), now)
	later := now.Add(50 * time.Minute)
	if got := e.ofForced(f, now.Round(0), later); got != end {
		t.Errorf("ends %v later than it should", got.Sub(end))
	}
	old := &Binding{source: &policy.Binding{ForcedBreaker: f}}
	old.forced = resilience.Forced{Open: true, Until: later.Add(time.Minute)}
	b := &Binding{source: &policy.Binding{ForcedBreaker: f}}
	b.base.values = &policy.Settings{}
	if b.force(later, old, ends{f.Until: later.Add(time.Second)}); b.forced != old.forced {
		t.Errorf("%+v, and %+v before the edit", b.forced, old.forced)
	}
}

// What is forced holds for breakers that are there, for those that come, and for rules.
func TestWhatIsForcedHoldsForEveryBreaker(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withBreaker(policy.SharePod)))
	before := routeTo(t, s, "a", "10.96.0.7:80").Plan(nil, nil).Breaker
	b := withBreaker(policy.SharePod)
	b.ForcedBreaker = policy.ForcedBreaker{Open: true, Until: time.Now().Add(time.Hour).Unix()}
	own := policy.Defaults()
	b.Rules = []policy.Rule{{Name: "r", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: own, OwnBreaker: true}}
	install(t, s, snapshot(b))
	if before.Status(time.Now()).State != resilience.Open {
		t.Error("a breaker that was there is not open")
	}
	for _, pod := range []string{"a", "b"} {
		r := routeTo(t, s, pod, "10.96.0.7:80")
		for _, plan := range []*Plan{r.Plan([]byte("GET"), []byte("/")), r.Plan([]byte("PUT"), []byte("/")), r.OpaquePlan()} {
			if _, ok := plan.Breaker.Allow(time.Now()); ok {
				t.Errorf("a call of pod %s passes under rule %q", pod, plan.Rule)
			}
		}
	}
}

// What is over may stay written: edits of the policy have a breaker that has opened since keep what it knows.
func TestWhatWasForcedIsOverForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t)
		b := forcedBinding(true, time.Now().Add(time.Minute))
		install(t, s, snapshot(b))
		time.Sleep(2 * time.Minute)
		trip(t, routeTo(t, s, "a", "10.96.0.7:80"))
		for n := range 3 {
			b.Base.Retry.MaxRetries = n
			install(t, s, snapshot(b))
			if allows(t, s) {
				t.Fatalf("edit %d closes it", n)
			}
		}
	})
}
