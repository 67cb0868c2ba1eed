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

// expects parks a call that will pass at a time if nothing changes.
func expects(d time.Duration) resilience.Entry {
	return resilience.Entry{Verdict: resilience.Park, Until: at(time.Second), Expected: at(d)}
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
	// The response's body is for the client to take: the upstream was waited for until the head.
	if want := (resilience.Result{Took: 10 * ms, Shard: r.call.shard}); len(g.left) != 1 || g.left[0] != want {
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
		"a turn beyond the deadline":        {[]resilience.Entry{expects(10 * time.Second)}, nil, RateLimited, 1},
		"a turn that is put off beyond it": {
			[]resilience.Entry{expects(ms), expects(10 * time.Second)}, func(r *rig) Action { return r.call.Timer(at(time.Second)) }, RateLimited, 1,
		},
		"parked to the deadline": {[]resilience.Entry{parks(time.Hour)}, func(r *rig) Action { return r.call.Timer(at(10 * time.Second)) }, Deadline, 1},
		"woken too late":         {[]resilience.Entry{parks(time.Hour)}, func(r *rig) Action { return r.call.Woken(at(10 * time.Second)) }, Deadline, 1},
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

// A call that a gate refuses knows which one that was, and after how long it would let the call in.
func TestRule26_ARefusedCallKnowsWhenItMayComeAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []resilience.Entry
		want    time.Duration
	}{
		"as the gate says":             {[]resilience.Entry{{Verdict: resilience.Refuse, RetryAfter: 70 * ms}}, 70 * ms},
		"when its turn would come":     {[]resilience.Entry{expects(20 * time.Second)}, 20 * time.Second},
		"when its place was to be its": {[]resilience.Entry{waits(30 * time.Second)}, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := gated(t, nil, tc.answers...)
			r.plan.Gates = append([]Gate{&fakeGate{answers: []resilience.Entry{passes}}}, r.plan.Gates...)
			r.want(r.start(t0, Request{}), Reject)
			if o := r.call.Outcome(); o.Refusal != (Refusal{Gate: 1, RetryAfter: tc.want}) {
				t.Errorf("%+v", o.Refusal)
			}
			r.plan.Gates = nil
			r.begin(Request{})
			r.want(r.respond(0, 200), Forward)
			if o := r.call.Outcome(); o.Refusal != (Refusal{}) {
				t.Errorf("the next call has %+v", o.Refusal)
			}
		})
	}
}

// What gates hear of a call says whether the upstream was asked, and whether time ended it.
func TestGatesHearHowCallsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		then func(*rig)
		want resilience.Result
	}{
		"refused behind the gate": {func(r *rig) {
			r.call.LocalReject(at(5*ms), r.id, Overflow)
		}, resilience.Result{Failed: true, Took: 5 * ms}},
		"its time is up": {func(r *rig) {
			r.placed(t0)
			r.call.Timer(at(10 * time.Second))
		}, resilience.Result{Failed: true, TimedOut: true, Took: 10 * time.Second}},
		"its client leaves": {func(r *rig) {
			r.placed(t0)
			r.call.ClientGone(at(time.Second))
		}, resilience.Result{Failed: true, GivenUp: true, Took: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := gated(t, nil, passes)
			r.want(r.start(t0, Request{}), StartAttempt)
			tc.then(r)
			tc.want.Shard = r.call.shard
			if len(g.left) != 1 || g.left[0] != tc.want {
				t.Errorf("left with %+v, want %+v", g.left, tc.want)
			}
		})
	}
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
	if len(g.left) != 1 || len(second.left) != 1 || !g.left[0].Failed || !g.left[0].Unstarted {
		t.Errorf("left with %+v and %+v", g.left, second.left)
	}
}

// Calls that are not let in are no calls that retries are a share of.
func TestRule13_TheBudgetCountsCallsThatStart(t *testing.T) {
	share := func(s *policy.Settings) { s.Retry.Budget = policy.Budget{Percent: 50, Window: time.Second} }
	r, _ := gated(t, share, resilience.Entry{Verdict: resilience.Refuse})
	for range 10 {
		r.want(r.start(t0, Request{}), Reject)
	}
	if r.plan.Budget.Allows(t0) {
		t.Error("calls that were refused allow retries")
	}
	r.plan.Gates = nil
	r.begin(Request{})
	r.begin(Request{})
	if !r.plan.Budget.Allows(t0) {
		t.Error("two calls allow no retry")
	}
}

// Gates hear how calls end: what took too long says something about an upstream's load, what failed otherwise may have failed at once.
func TestRule24_GatesHearHowCallsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(*rig)
		want resilience.Result
	}{
		"well":                       {func(r *rig) { r.respond(ms, 200); r.finished(at(ms), End{GRPCStatus: -1}) }, resilience.Result{}},
		"badly":                      {func(r *rig) { r.respond(ms, 501); r.finished(at(ms), End{GRPCStatus: -1}) }, resilience.Result{Failed: true}},
		"in the midst of a response": {func(r *rig) { r.respond(ms, 200); r.finished(at(ms), End{GRPCStatus: -1, Truncated: true}) }, resilience.Result{Failed: true}},
		"by an attempt's timeout":    {func(r *rig) { r.fails(at(ms), timedOut) }, resilience.Result{Failed: true, TimedOut: true}},
		"by the deadline":            {func(r *rig) { r.call.Timer(at(10 * time.Second)) }, resilience.Result{Failed: true, TimedOut: true}},
		"by its client":              {func(r *rig) { r.call.ClientGone(at(ms)) }, resilience.Result{Failed: true, GivenUp: true}},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := gated(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, passes)
			r.begin(Request{})
			tc.play(r)
			if len(g.left) != 1 {
				t.Fatalf("left %d times", len(g.left))
			}
			if got := g.left[0]; got.Failed != tc.want.Failed || got.TimedOut != tc.want.TimedOut || got.GivenUp != tc.want.GivenUp || got.Unstarted {
				t.Errorf("%+v", got)
			}
		})
	}
}
