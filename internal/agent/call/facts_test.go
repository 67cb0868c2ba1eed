package call

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// What was sent is a fact of one attempt: that the request was on its way says nothing of what a connection accepted.
func TestRule07_OnlyAcceptedBytesMeanSent(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { s.Timeouts.ResponseHeader = time.Second })
	r.begin(Request{Method: Unsafe, HasBody: true})
	r.sending(t0)
	r.written(t0)
	r.want(r.fails(t0, fault{Failure{Kind: Reset}, false}), Wait)
}

// A retry is to avoid what an attempt was made for and where it went, each once.
func TestRule09_WhereAnAttemptWentCountsAsTried(t *testing.T) {
	r := newRig(t, nil)
	r.begin(Request{})
	placed := r.call.Endpoints()[0]
	went := netip.AddrPortFrom(placed.Addr(), placed.Port()+1)
	for _, at := range []netip.AddrPort{placed, went, went} {
		r.call.Reached(0, at)
	}
	r.call.Reached(1, netip.AddrPort{}) // of which there is none
	if got := r.call.Endpoints(); !slices.Equal(got, []netip.AddrPort{placed, went}) {
		t.Errorf("tried %v", got)
	}
}

// The time in which the client is what is waited for is not the upstream's.
func TestRule02_TheClockStandsWhileTheClientIsWaitedFor(t *testing.T) {
	breaker := func(s *policy.Settings) {
		s.Timeouts.Overall, s.Timeouts.PerTry = 0, time.Second
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 0
		b.SlowCalls = &policy.SlowCalls{Threshold: time.Second, Percent: 100, MinimumRequests: 1, Window: time.Minute}
		s.Breaker = &b
	}
	t.Run("an upload is not cut", func(t *testing.T) {
		r := newRig(t, breaker)
		r.want(r.start(t0, Request{HasBody: true}), StartAttempt)
		r.placed(t0)
		if a := r.sending(at(400 * ms)); !a.Until.IsZero() {
			t.Fatalf("it is cut at %v", a.Until)
		}
		r.want(r.call.Timer(at(time.Minute)), Continue)
		if a := r.written(at(time.Minute)); !a.Until.Equal(at(time.Minute + 600*ms)) {
			t.Errorf("the response is waited for until %v, want what connecting has left of perTry", a.Until)
		}
		r.want(r.respond(time.Minute+500*ms, 200), Forward)
		if s := r.plan.Breaker.Status(at(time.Minute)); s.State != resilience.Closed {
			t.Errorf("the breaker is %v: a slow client counts as a slow upstream", s.State)
		}
	})
	t.Run("the overall deadline is no failure of the upstream", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) {
			breaker(s)
			s.Timeouts.Overall, s.Breaker.ConsecutiveFailures = 2*time.Second, 1
		})
		r.begin(Request{HasBody: true})
		r.sending(t0)
		r.want(r.fails(at(2*time.Second), timedOut), Reject)
		if s := r.plan.Breaker.Status(at(2 * time.Second)); s.State != resilience.Closed {
			t.Errorf("the breaker is %v", s.State)
		}
	})
	t.Run("waiting for 100 is waiting for the upstream", func(t *testing.T) {
		r := newRig(t, breaker)
		r.begin(Request{HasBody: true})
		r.sending(t0)
		if a := r.written(t0); !a.Until.Equal(at(time.Second)) {
			t.Fatalf("until %v", a.Until)
		}
		if a := r.sending(at(300 * ms)); !a.Until.IsZero() {
			t.Fatalf("until %v", a.Until)
		}
		if a := r.written(at(time.Minute)); !a.Until.Equal(at(time.Minute + 700*ms)) {
			t.Errorf("until %v", a.Until)
		}
	})
}

func TestLimitNamesTheDeadline(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) {
		s.Timeouts.PerTry, s.Timeouts.ResponseHeader, s.Timeouts.MaxDuration = 3*time.Second, 2*time.Second, 8*time.Second
	})
	is := func(want Limit) {
		t.Helper()
		if got := r.call.Limit(r.id); got != want {
			t.Errorf("limit %d, want %d", got, want)
		}
	}
	r.want(r.start(t0, Request{}), StartAttempt)
	is(LimitMaxDuration)
	r.placed(t0)
	is(LimitPerTry)
	r.sending(t0)
	is(LimitMaxDuration)
	r.written(t0)
	is(LimitResponseHeader)
	r.want(r.start(t0, Request{Timeout: time.Second}), StartAttempt)
	is(LimitClient)
}

// Callers that lose patience must not hide that the upstream is slow.
func TestRule04_ASlowAttemptIsSlowThoughItIsGivenUp(t *testing.T) {
	slow := func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 2
		b.SlowCalls = &policy.SlowCalls{Threshold: time.Second, Percent: 100, MinimumRequests: 3, Window: time.Minute}
		b.Probes = 1
		s.Breaker = &b
	}
	giveUp := func(r *rig, from, after time.Duration) {
		r.want(r.start(at(from), Request{}), StartAttempt)
		r.placed(at(from))
		r.want(r.call.ClientGone(at(from+after)), Abort)
	}
	t.Run("closed", func(t *testing.T) {
		r := newRig(t, slow)
		for range 3 {
			giveUp(r, 0, 900*ms)
		}
		for range 2 {
			giveUp(r, 0, 1100*ms)
		}
		if s := r.plan.Breaker.Status(at(2 * time.Second)); s.State != resilience.Closed {
			t.Fatalf("%v: those that were quick say nothing", s.State)
		}
		giveUp(r, 0, 1100*ms)
		if s := r.plan.Breaker.Status(at(2 * time.Second)); s.State != resilience.Open {
			t.Errorf("%v after three slow attempts", s.State)
		}
	})
	t.Run("no success either", func(t *testing.T) {
		r := newRig(t, slow)
		fail := func() {
			r.begin(Request{})
			r.fails(t0, sentLost)
			r.call.ClientGone(t0)
		}
		fail()
		giveUp(r, 0, 1100*ms)
		fail()
		if s := r.plan.Breaker.Status(at(2 * time.Second)); s.State != resilience.Open {
			t.Errorf("%v: an attempt that was given up ended a row of failures", s.State)
		}
	})
	t.Run("half-open", func(t *testing.T) {
		r := newRig(t, slow)
		for range 3 {
			giveUp(r, 0, 1100*ms)
		}
		later := r.plan.Breaker.Status(at(2 * time.Second)).Until.Sub(t0)
		giveUp(r, later, 100*ms)
		giveUp(r, later, 1100*ms)
		if s := r.plan.Breaker.Status(at(later + 2*time.Second)); s.State != resilience.Open || s.Opened != 2 {
			t.Errorf("%+v after a slow probe", s)
		}
	})
}

// A response whose place was needed is not forwarded in the end.
func TestRule10_ALostResponseIsNotTheAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.begin(Request{})
	again := r.nextAttempt(r.respond(0, 503))
	r.call.KeptLost()
	r.nextAttempt(r.fails(again, refused))
	r.want(r.rejects(again.Add(200*ms), Overflow), Reject)
	r.ended(Overflow, Refused, 503, 3)
}

// A response that was lost with its connection while a retry was waited for is a reset, if the budget has no retry any more when that is due.
func TestRule10_ALostResponseIsAReset(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second} })
	r.begin(Request{})
	a := r.respond(0, 503)
	r.call.KeptLost()
	r.plan.Budget.Reconfigure(policy.Budget{Window: time.Second})
	r.want(r.call.Timer(a.Until), Reject)
	r.ended(Reset, ByBudget, 502, 1)
}

// A share of attempts is exactly that: none at 0 %, and all at 100 %, whatever is drawn.
func TestAShareOfAttemptsMeetsFaults(t *testing.T) {
	for _, tc := range []struct {
		percent int
		drawn   float64
		want    bool
	}{{0, 0, false}, {100, math.Nextafter(1, 0), true}, {50, 0.5, false}, {50, math.Nextafter(0.5, 0), true}} {
		f := &Faults{Faults: &policy.Faults{Percent: tc.percent, Until: at(time.Hour).Unix(), Abort: policy.FaultReset}, Ends: at(time.Hour)}
		if got := f.strikes(t0, func() float64 { return tc.drawn }); got != tc.want {
			t.Errorf("%d %%, of which %v is drawn: %v", tc.percent, tc.drawn, got)
		}
	}
}

// What holds an attempt up does not end while the one beside it is being placed or sent: whoever does that is not interrupted. It goes on as it was to start.
func TestAHeldAttemptWaitsForTheOneBesideIt(t *testing.T) {
	r := faulty(t, policy.Faults{Delay: time.Second}, nil)
	r.plan.Hedge = Hedge{After: 200 * ms, Max: 1}
	r.want(r.start(t0, Request{}), Wait)
	r.plan.Faults.Percent = 0
	next := func(when string, want time.Duration) {
		t.Helper()
		if got := r.call.NextAt(); !got.Equal(at(want)) {
			t.Errorf("%s: next at %v, want %v", when, got.Sub(t0), want)
		}
	}
	r.want(r.call.Timer(at(200*ms)), StartAttempt)
	next("while it is placed", 10*time.Second)
	r.placed(at(200 * ms))
	next("once it is", time.Second)
	r.sending(at(300 * ms))
	next("while it is sent", 10*time.Second)
	r.written(at(400 * ms))
	next("once it is sent", time.Second)

	r = faulty(t, policy.Faults{Delay: time.Second}, nil)
	r.plan.Faults.Percent = 0
	r.begin(Request{})
	a := r.fails(t0, stale) // after which connections are fresh
	r.want(a, StartAttempt)
	r.placed(t0)
	a = r.want(r.fails(t0, sentLost), Wait)
	r.plan.Faults.Percent = 100
	a = r.want(r.call.Timer(a.Until), Wait)
	if a = r.want(r.call.Timer(a.Until), StartAttempt); !a.Avoid || !a.Fresh || a.Start != Retry {
		t.Errorf("it starts as %+v", a)
	}
}
