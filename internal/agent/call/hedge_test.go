package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// hedging is a rig whose attempts get another beside them after 200 ms.
func hedging(t *testing.T, change func(*policy.Settings)) *rig {
	r := newRig(t, change)
	r.plan.Hedge = Hedge{After: 200 * ms, Max: 1}
	return r
}

// hedged begins a call and has its hedge placed.
func (r *rig) hedged() {
	r.t.Helper()
	r.begin(Request{})
	a := r.want(r.call.Timer(at(200*ms)), StartAttempt)
	if a.Start != Hedged || !a.Avoid || a.Cancel != 0 {
		r.t.Fatalf("the hedge starts as %+v", a)
	}
	r.placed(at(200 * ms))
}

func TestRule17_TheFirstUsableResponseWins(t *testing.T) {
	for name, winner := range map[string]AttemptID{"the first attempt's": 0, "the hedge's": 1} {
		t.Run(name, func(t *testing.T) {
			r := hedging(t, nil)
			r.hedged()
			r.id = winner
			a := r.want(r.respond(300*ms, 200), Forward)
			if a.Attempt != winner || a.Cancel != SetOf(1-winner) {
				t.Errorf("forwards %d and cancels %b", a.Attempt, a.Cancel)
			}
			r.ended(OK, Recovered, 200, 2)
		})
	}
}

func TestRule17_ABadResponseWaitsForTheOther(t *testing.T) {
	t.Run("which is good", func(t *testing.T) {
		r := hedging(t, nil)
		r.hedged()
		if a := r.want(r.respond(300*ms, 503), Continue); !a.Keep || !a.Until.Equal(at(10*time.Second)) {
			t.Fatalf("%+v", a)
		}
		r.id = 0
		if a := r.want(r.respond(400*ms, 200), Forward); a.Attempt != 0 || a.Cancel != SetOf(1) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("which fails", func(t *testing.T) {
		r := hedging(t, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
		r.hedged()
		r.respond(300*ms, 503)
		r.id = 0
		if a := r.want(r.fails(at(400*ms), sentLost), ForwardKept); a.Attempt != 1 || a.Cancel != 0 {
			t.Errorf("%+v", a)
		}
		r.ended(OK, Exhausted, 503, 2)
	})
	t.Run("but not when nobody retries it", func(t *testing.T) {
		r := hedging(t, nil)
		r.hedged()
		if a := r.want(r.respond(300*ms, 501), Forward); a.Cancel != SetOf(0) {
			t.Errorf("%+v", a)
		}
	})
}

func TestRule17_AFailureLeavesTheOther(t *testing.T) {
	r := hedging(t, func(s *policy.Settings) { s.Timeouts.PerTry = time.Second })
	r.hedged()
	if a := r.want(r.call.Timer(at(time.Second)), Continue); a.Cancel != SetOf(0) || !a.Until.Equal(at(1200*ms)) {
		t.Errorf("%+v", a)
	}
	again := r.nextAttempt(r.fails(at(1100*ms), sentLost))
	r.want(r.head(again, plain(200)), Forward)
	r.ended(OK, Recovered, 200, 3)
}

func TestRule17_NotHedged(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		q      Request
		first  func(*rig)
	}{
		"what may not be retried":  {nil, Request{Method: Unsafe}, nil},
		"a body on its way":        {nil, Request{HasBody: true}, nil},
		"after an interim":         {nil, Request{}, func(r *rig) { r.call.Interim(at(ms), 0) }},
		"retries are switched off": {func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, Request{}, nil},
		"the budget is used up":    {func(s *policy.Settings) { s.Retry.Budget = policy.Budget{Window: time.Second} }, Request{}, nil},
		"the breaker is open": {breaking, Request{}, func(r *rig) {
			for range 2 {
				p, _ := r.plan.Breaker.Allow(t0)
				r.plan.Breaker.Done(t0, p, resilience.Result{Failed: true})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := hedging(t, tc.change)
			r.begin(tc.q)
			if tc.first != nil {
				tc.first(r)
			}
			if a := r.want(r.call.Timer(at(200*ms)), Continue); !a.Until.Equal(at(10 * time.Second)) {
				t.Errorf("until %v: it is tried again", a.Until)
			}
		})
	}
}

func TestRule11_AnInterimResponseDecidesBetweenHedges(t *testing.T) {
	r := hedging(t, nil)
	r.hedged()
	if a := r.want(r.call.Interim(at(300*ms), 1), Continue); a.Cancel != SetOf(0) {
		t.Errorf("%+v", a)
	}
}

func TestRule04_ADismissedHedgeWasSlow(t *testing.T) {
	r := hedging(t, func(s *policy.Settings) {
		breaking(s)
		s.Breaker.SlowCalls = &policy.SlowCalls{Threshold: 250 * ms, Percent: 50, MinimumRequests: 2, Window: time.Minute}
	})
	r.hedged()
	r.want(r.respond(400*ms, 200), Forward)
	if s := r.plan.Breaker.Status(at(400 * ms)); s.State != resilience.Open {
		t.Errorf("%v: the attempt that lost has been slow", s.State)
	}
}

// The pool failed, not the upstream, and there is another attempt that may succeed.
func TestRule08_ADeadConnectionBesideAHedgeIsNotRepaired(t *testing.T) {
	r := hedging(t, func(s *policy.Settings) { breaking(s); s.Breaker.Probes = 2 })
	for range 2 {
		p, _ := r.plan.Breaker.Allow(t0)
		r.plan.Breaker.Done(t0, p, resilience.Result{Failed: true})
	}
	half := at(time.Minute)
	r.want(r.start(half, Request{}), StartAttempt)
	r.placed(half)
	r.want(r.call.Timer(half.Add(200*ms)), StartAttempt)
	r.id = 0
	r.want(r.fails(half.Add(300*ms), stale), Continue)
	if s := r.plan.Breaker.Status(half.Add(300 * ms)); s.State != resilience.HalfOpen {
		t.Errorf("the breaker is %v: it counts against the upstream", s.State)
	}
	if _, ok := r.plan.Breaker.Allow(half.Add(300 * ms)); !ok {
		t.Error("the permit did not come back")
	}
}

// A request with a body is hedged from when its last byte was sent, if all of it is there to be sent again.
func TestRule17_ABodyIsHedgedOnceItIsKept(t *testing.T) {
	for name, kept := range map[string]bool{"kept": true, "not kept": false} {
		t.Run(name, func(t *testing.T) {
			r := hedging(t, nil)
			r.begin(Request{Method: Idempotent, HasBody: true})
			r.want(r.sending(t0), Continue)
			r.call.BytesAccepted(r.id)
			want := at(10 * time.Second)
			if kept {
				r.call.BodyKept()
				want = at(700 * ms)
			}
			if a := r.written(at(500 * ms)); !a.Until.Equal(want) || !kept != r.call.HedgeAt().IsZero() {
				t.Fatalf("until %v, want %v", a.Until, want)
			}
			if kept {
				r.want(r.call.Timer(at(700*ms)), StartAttempt)
				r.placed(at(700 * ms))
				r.want(r.respond(800*ms, 200), Forward)
			}
		})
	}
}

// A hedge that finds no place has never been.
func TestRule17_AHedgeWithoutAPlace(t *testing.T) {
	r := hedging(t, nil)
	r.begin(Request{})
	a := r.want(r.call.Timer(at(200*ms)), StartAttempt)
	if b := r.want(r.call.Unplaced(at(200*ms), a.Attempt), Continue); !b.Until.Equal(at(10 * time.Second)) {
		t.Errorf("until %v: it is tried again", b.Until)
	}
	r.want(r.call.Unplaced(at(200*ms), 0), Continue) // the first has one
	r.id = 0
	r.want(r.respond(300*ms, 200), Forward)
	r.ended(OK, NotNeeded, 200, 1)
	if o := r.call.Outcome(); o.Hedges != 0 || o.HedgeWon {
		t.Errorf("%+v", o)
	}
}

// What was not started does not use the budget up.
func TestRule13_AHedgeWithoutAPlaceCostsNothing(t *testing.T) {
	r := hedging(t, func(s *policy.Settings) { s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second} })
	r.begin(Request{})
	hedge := r.want(r.call.Timer(at(200*ms)), StartAttempt).Attempt
	if r.plan.Budget.Allows(at(300 * ms)) {
		t.Fatal("the budget allows more than one")
	}
	r.want(r.call.Unplaced(at(300*ms), hedge), Continue)
	r.id = 0
	r.nextAttempt(r.fails(at(400*ms), sentLost))
}

// The last hedge may find no place when everything else has ended: the call goes on as it would have without it.
func TestRule17_TheLastHedgeWithoutAPlace(t *testing.T) {
	once := func(s *policy.Settings) { s.Retry.MaxRetries = 1 }
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		first  func(*rig) Action
		after  func(*rig, Action)
	}{
		"after a failure": {once, func(r *rig) Action { return r.fails(at(300*ms), sentLost) }, func(r *rig, a Action) {
			r.want(r.head(r.nextAttempt(a), plain(200)), Forward)
			r.ended(OK, Recovered, 200, 2)
		}},
		"after a dead connection": {once, func(r *rig) Action { return r.fails(at(300*ms), stale) }, func(r *rig, a Action) {
			r.nextAttempt(a)
		}},
		"after a failure that is not retried": {func(s *policy.Settings) { s.Retry.On = 0 }, func(r *rig) Action { return r.fails(at(300*ms), sentLost) }, func(r *rig, a Action) {
			r.want(a, Reject)
			r.ended(Reset, NotRetryable, Reset.Status(), 1)
		}},
		"after a bad response": {once, func(r *rig) Action { return r.respond(300*ms, 503) }, func(r *rig, a Action) {
			r.want(r.fails(r.nextAttempt(a), sentLost), ForwardKept)
			r.ended(OK, Exhausted, 503, 2)
		}},
		"after a refusal": {once, func(r *rig) Action { return r.rejects(at(300*ms), Internal) }, func(r *rig, a Action) {
			r.want(a, Reject)
			r.ended(Internal, Refused, Internal.Status(), 1)
		}},
		"too late for a wait": {func(s *policy.Settings) { s.Timeouts.Overall = 450 * ms }, func(r *rig) Action { return r.fails(at(300*ms), sentLost) }, func(r *rig, a Action) {
			r.want(a, Reject)
			r.ended(Deadline, ByDeadline, Deadline.Status(), 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := hedging(t, tc.change)
			r.begin(Request{})
			hedge := r.want(r.call.Timer(at(200*ms)), StartAttempt).Attempt
			r.id = 0
			r.want(tc.first(r), Continue)
			tc.after(r, r.call.Unplaced(at(400*ms), hedge))
		})
	}
}

// While an attempt is being sent there is no hedge: what it would be made of is in use.
func TestRule17_NoHedgeWhileTheRequestIsOnItsWay(t *testing.T) {
	for name, q := range map[string]Request{"without a body": {}, "with a body": {Method: Idempotent, HasBody: true}} {
		t.Run(name, func(t *testing.T) {
			r := hedging(t, nil)
			r.begin(q)
			r.call.BodyKept()
			r.sending(t0)
			r.written(t0)
			again := r.nextAttempt(r.respond(100*ms, 503)) // of which all of the body is kept
			r.want(r.sending(again), Continue)
			late := again.Add(time.Second)
			if a := r.want(r.call.Timer(late), Continue); !r.call.HedgeAt().IsZero() || !a.Until.Equal(at(10*time.Second)) {
				t.Fatalf("hedged at %v, looked at again at %v", r.call.HedgeAt(), a.Until)
			}
			r.want(r.written(late), Continue)
			if a := r.want(r.call.Timer(late.Add(200*ms)), StartAttempt); a.Start != Hedged {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestRule17_TheOutcomeSaysWhoWon(t *testing.T) {
	for winner, won := range map[AttemptID]bool{0: false, 1: true} {
		r := hedging(t, nil)
		r.hedged()
		r.id = winner
		r.want(r.respond(300*ms, 200), Forward)
		if o := r.call.Outcome(); o.Hedges != 1 || o.HedgeWon != won {
			t.Errorf("%+v", o)
		}
	}
}

// The percentile is that of attempts that were waited for, to their end or not; one that was overtaken early says nothing.
func TestRule17_TheDelayIsAPercentile(t *testing.T) {
	r := newRig(t, nil)
	r.plan.Hedge = Hedge{Latency: resilience.NewLatencyPercentile(90), Max: 1}
	for range 20 {
		r.begin(Request{})
		if !r.call.HedgeAt().IsZero() {
			t.Fatal("it is known too early")
		}
		r.want(r.respond(100*ms, 200), Forward)
	}
	for range 2 { // which are almost a tenth more
		r.begin(Request{})
		if !r.call.HedgeAt().Equal(at(100 * ms)) {
			t.Fatalf("hedged at %v", r.call.HedgeAt())
		}
		r.want(r.call.Timer(at(100*ms)), StartAttempt)
		r.placed(at(100 * ms))
		r.want(r.respond(400*ms, 200), Forward) // which overtakes one that has waited for 400 ms
	}
	if v := r.plan.Hedge.Latency.Value(); v != 300*ms {
		t.Errorf("it is %v", v)
	}
	r.begin(Request{})
	r.call.ClientGone(at(ms))
	if v := r.plan.Hedge.Latency.Value(); v != 300*ms {
		t.Errorf("it is %v after one that was given up early", v)
	}
}

// Attempts that take less than a millisecond are hedged after one: what they take is still learned as it is.
func TestRule17_ThePercentilesDelayIsAMillisecondAtLeast(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		40 * time.Microsecond: ms, ms - 1: ms, ms: ms, ms + 1: ms + 1, 0: ms,
	} {
		r := newRig(t, nil)
		r.plan.Hedge = Hedge{Latency: resilience.NewLatencyPercentile(90), Max: 1}
		for range 20 {
			r.begin(Request{})
			r.want(r.respond(took, 200), Forward)
		}
		r.begin(Request{})
		if !r.call.HedgeAt().Equal(at(want)) {
			t.Errorf("attempts took %v: hedged at %v, want %v", took, r.call.HedgeAt(), at(want))
		}
		if v := r.plan.Hedge.Latency.Value(); v != max(took, 1) {
			t.Errorf("attempts took %v, and %v is known", took, v)
		}
	}
}

// A server that forbids a retry has the last word, whatever other attempts would bring.
func TestRule14_APushbackDoesNotWaitForTheOther(t *testing.T) {
	r := hedging(t, nil)
	r.hedged()
	if a := r.want(r.head(at(300*ms), Response{Status: 503, GRPCStatus: -1, HasRetryAfter: true, RetryAfter: -1}), Forward); a.Cancel != SetOf(0) {
		t.Errorf("%+v", a)
	}
}

// A hedge for which there was no place has taken no retry from the call.
func TestRule17_AHedgeWithoutAPlaceTakesNoRetry(t *testing.T) {
	r := hedging(t, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
	r.begin(Request{})
	hedge := r.want(r.call.Timer(at(200*ms)), StartAttempt).Attempt
	r.want(r.call.Unplaced(at(200*ms), hedge), Continue)
	r.id = 0
	r.nextAttempt(r.fails(at(300*ms), sentLost))
	r.want(r.respond(500*ms, 200), Forward)
	r.ended(OK, Recovered, 200, 2)
}
