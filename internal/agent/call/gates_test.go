package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// fakeGate answers as the test says, and writes down what happens.
type fakeGate struct {
	answers []resilience.Entry
	asked   int
	left    []resilience.Result
}

func (g *fakeGate) Enter(time.Time, *resilience.Waiter) resilience.Entry {
	g.asked++
	return g.answers[min(g.asked, len(g.answers))-1]
}

func (g *fakeGate) Leave(_ time.Time, _ *resilience.Waiter, r resilience.Result) {
	g.left = append(g.left, r)
}

var passes = resilience.Entry{}

func waits(d time.Duration) resilience.Entry {
	return resilience.Entry{Verdict: resilience.Wait, Until: at(d)}
}

func parks(d time.Duration) resilience.Entry {
	return resilience.Entry{Verdict: resilience.Park, Until: at(d)}
}

func gated(t *testing.T, change func(*policy.Settings), answers ...resilience.Entry) (*rig, *fakeGate) {
	r, g := newRig(t, change), &fakeGate{answers: answers}
	r.plan.Gates = []Gate{g}
	return r, g
}

func TestRule24_AReservationIsWaitedFor(t *testing.T) {
	r, g := gated(t, nil, waits(50*ms), passes)
	a := r.want(r.start(t0, Request{}), Wait)
	if !a.Until.Equal(at(50 * ms)) {
		t.Fatalf("waits until %v", a.Until)
	}
	r.want(r.call.Timer(at(20*ms)), Wait)
	r.want(r.call.Woken(at(20*ms)), Wait)
	r.want(r.call.Timer(a.Until), StartAttempt)
	r.placed(at(50 * ms))
	r.want(r.respond(60*ms, 200), Forward)
	if len(g.left) != 0 {
		t.Error("it has left before the response's body has ended")
	}
	r.finished(at(150*ms), End{GRPCStatus: -1})
	if want := (resilience.Result{Took: 100 * ms, Shard: r.call.shard}); len(g.left) != 1 || g.left[0] != want {
		t.Errorf("left with %+v, want %+v", g.left, want)
	}
}

func TestRule24_AParkedCallIsWoken(t *testing.T) {
	r, g := gated(t, nil, parks(time.Second), parks(time.Second), passes)
	a := r.want(r.start(t0, Request{}), Park)
	if !a.Until.Equal(at(time.Second)) {
		t.Fatalf("parked until %v", a.Until)
	}
	r.want(r.call.Woken(at(ms)), Park) // for nothing
	r.want(r.call.Woken(at(2*ms)), StartAttempt)
	if g.asked != 3 {
		t.Errorf("asked %d times", g.asked)
	}
}

func TestRule24_NotLetIn(t *testing.T) {
	refuse := resilience.Entry{Verdict: resilience.Refuse}
	for name, tc := range map[string]struct {
		answers []resilience.Entry
		then    func(*rig) Action
		kind    Kind
		left    int
	}{
		"refused":                           {[]resilience.Entry{refuse}, nil, RateLimited, 0},
		"refused after a wait":              {[]resilience.Entry{parks(ms), refuse}, func(r *rig) Action { return r.call.Timer(at(ms)) }, RateLimited, 0},
		"a reservation beyond the deadline": {[]resilience.Entry{waits(10 * time.Second)}, nil, RateLimited, 1},
		"parked to the deadline":            {[]resilience.Entry{parks(time.Hour)}, func(r *rig) Action { return r.call.Timer(at(10 * time.Second)) }, Deadline, 1},
		"woken too late":                    {[]resilience.Entry{parks(time.Hour)}, func(r *rig) Action { return r.call.Woken(at(10 * time.Second)) }, Deadline, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := gated(t, nil, tc.answers...)
			a := r.start(t0, Request{})
			if tc.then != nil {
				a = tc.then(r)
			}
			r.want(a, Reject)
			if o := r.call.Outcome(); o.Kind != tc.kind || o.Attempts != 0 || len(g.left) != tc.left {
				t.Errorf("%+v, left %d times, want %v, %d", o, len(g.left), tc.kind, tc.left)
			}
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		r, g := gated(t, nil, parks(time.Hour))
		r.start(t0, Request{})
		r.want(r.call.ClientGone(at(ms)), Abort)
		if len(g.left) != 1 || !g.left[0].GivenUp {
			t.Errorf("left with %+v", g.left)
		}
	})
}

func TestRule24_GatesAreLeftBehindTheBreaker(t *testing.T) {
	r, g := gated(t, breaking, passes)
	second := &fakeGate{answers: []resilience.Entry{passes}}
	r.plan.Gates = append(r.plan.Gates, second)
	for range 2 {
		p, _ := r.plan.Breaker.Allow(t0)
		r.plan.Breaker.Done(t0, p, resilience.Result{Failed: true})
	}
	r.want(r.start(t0, Request{}), Reject)
	r.ended(BreakerOpen, Refused, 503, 0)
	if len(g.left) != 1 || len(second.left) != 1 || !g.left[0].Failed {
		t.Errorf("left with %+v and %+v", g.left, second.left)
	}
}
