package call

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// faulty is a rig of which every attempt meets a fault, for an hour.
func faulty(t *testing.T, f policy.Faults, change func(*policy.Settings)) *rig {
	r := newRig(t, change)
	f.Until, f.Percent = at(time.Hour).Unix(), 100
	r.plan.Faults = &Faults{Faults: &f, Ends: at(time.Hour)}
	return r
}

// inject has the driver report the fault that an action is about.
func (r *rig) inject(now time.Time, a Action) Action {
	r.t.Helper()
	r.want(a, Inject)
	return r.call.Injected(now, a.Attempt)
}

var (
	answers503 = policy.Faults{Abort: policy.FaultResponse, Status: 503, GRPCStatus: 14}
	resets     = policy.Faults{Abort: policy.FaultReset}
)

// An injected answer counts as an upstream's for retries, and where it has the last word it is answered with, under a name of its own.
func TestInjectedAnswersAreRetried(t *testing.T) {
	r := faulty(t, answers503, nil)
	a := r.inject(t0, r.start(t0, Request{}))
	for range 2 {
		now := r.want(a, Wait).Until
		a = r.inject(now, r.call.Timer(now))
	}
	r.want(a, Reject)
	r.ended(Injected, Exhausted, 503, 3)
	if o := r.call.Outcome(); o.Faults != (FaultCounts{Responses: 3}) || o.Reason() != "fault_injected" || o.Unprocessed {
		t.Errorf("%+v", o)
	}
}

// It may have been processed, as far as the policy goes: what must not be repeated is not.
func TestInjectedAnswersObeyTheGate(t *testing.T) {
	r := faulty(t, answers503, nil)
	r.want(r.inject(t0, r.start(t0, Request{Method: Unsafe})), Reject)
	r.ended(Injected, ByMethod, 503, 1)
}

// A reset comes before a byte was sent, so that any method is repeated.
func TestInjectedResetsAreUnsent(t *testing.T) {
	r := faulty(t, resets, nil)
	a := r.inject(t0, r.start(t0, Request{Method: Unsafe, HasBody: true}))
	r.plan.Faults.Percent = 0
	r.nextAttempt(a)
	if number, reason := r.call.Attempt(r.id); number != 2 || reason != "fault_injected" {
		t.Errorf("attempt %d, reason %q", number, reason)
	}
	r.want(r.respond(150*ms, 200), Forward)
	r.ended(OK, Recovered, 200, 2)
	if o := r.call.Outcome(); o.Faults != (FaultCounts{Resets: 1}) {
		t.Errorf("%+v", o.Faults)
	}
}

func TestInjectedFaultsOpenTheBreaker(t *testing.T) {
	for name, f := range map[string]policy.Faults{"answers": answers503, "resets": resets} {
		t.Run(name, func(t *testing.T) {
			r := faulty(t, f, func(s *policy.Settings) {
				breaking(s)
				s.Breaker.ConsecutiveFailures, s.Retry.MaxRetries = 2, 0
				s.Breaker.FailureOn = policy.Of(policy.ServerError, policy.Reset)
			})
			for range 2 {
				r.want(r.inject(t0, r.start(t0, Request{})), Reject)
			}
			r.want(r.start(t0, Request{}), Reject)
			r.ended(BreakerOpen, Refused, 503, 0)
		})
	}
}

// What is no failure to the policy answers the call.
func TestAnInjectedAnswerThatIsNoFailure(t *testing.T) {
	r := faulty(t, policy.Faults{Abort: policy.FaultResponse, Status: 404, GRPCStatus: 12}, nil)
	r.want(r.inject(t0, r.start(t0, Request{})), Reject)
	r.ended(Injected, NotNeeded, 404, 1)
}

func TestInjectedAnswersToGRPC(t *testing.T) {
	r := faulty(t, policy.Faults{Abort: policy.FaultResponse, Status: 503, GRPCStatus: 8}, func(s *policy.Settings) {
		s.Retry.GRPCStatuses, s.Retry.Idempotency, s.Retry.MaxRetries = []policy.GRPCStatus{8}, policy.AnyMethod, 1
	})
	a := r.inject(t0, r.start(t0, Request{Method: Unsafe, GRPC: true}))
	now := r.want(a, Wait).Until
	r.want(r.inject(now, r.call.Timer(now)), Reject)
	if o := r.call.Outcome(); o.GRPCStatus != 8 || o.Decision != Exhausted {
		t.Errorf("%+v", o)
	}
}

// A response that was kept of an earlier attempt gives way to an injected one, as it would to an upstream's.
func TestTheLastAnswerIsTheOneAnsweredWith(t *testing.T) {
	r := faulty(t, answers503, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
	r.plan.Faults.Percent = 0
	r.begin(Request{})
	kept := r.id
	a := r.want(r.respond(10*ms, 500), Wait)
	r.plan.Faults.Percent = 100
	if a = r.want(r.inject(a.Until, r.call.Timer(a.Until)), Reject); a.Cancel != SetOf(kept) {
		t.Errorf("cancels %b", a.Cancel)
	}
	r.ended(Injected, Exhausted, 503, 2)
}

func TestFallbacksStepInForInjectedFaults(t *testing.T) {
	r := faulty(t, resets, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
	r.plan.Fallback = &Fallback{On: policy.FallbackOn{RetriesExhausted: true}, Status: 200}
	r.want(r.inject(t0, r.start(t0, Request{})), Respond)
	if o := r.call.Outcome(); o.Kind != Injected || o.Status != 200 || o.Fallback != FellBackOnResponse {
		t.Errorf("%+v", o)
	}
}

// The clock of an attempt runs while it is held up.
func TestADelayCountsAsTheAttempts(t *testing.T) {
	slow := policy.Faults{Delay: 300 * ms}
	t.Run("and then it goes on", func(t *testing.T) {
		r := faulty(t, slow, func(s *policy.Settings) { s.Timeouts.PerTry = 500 * ms })
		if a := r.want(r.start(t0, Request{}), Wait); !a.Until.Equal(at(300 * ms)) {
			t.Fatalf("%+v", a)
		}
		r.want(r.call.Timer(at(299*ms)), Wait)
		a := r.want(r.call.Timer(at(300*ms)), StartAttempt)
		if r.call.Beside(a.Attempt) || a.Start != First || !a.Until.Equal(at(10*time.Second)) {
			t.Fatalf("%+v", a)
		}
		if a = r.placed(at(400 * ms)); !a.Until.Equal(at(600 * ms)) { // the queue does not count
			t.Errorf("%+v", a)
		}
		r.want(r.respond(450*ms, 200), Forward)
		r.ended(OK, NotNeeded, 200, 1)
		if o := r.call.Outcome(); o.Faults != (FaultCounts{Delays: 1}) {
			t.Errorf("%+v", o.Faults)
		}
	})
	t.Run("until its time is up", func(t *testing.T) {
		r := faulty(t, slow, func(s *policy.Settings) { s.Timeouts.PerTry, s.Retry.MaxRetries = 200*ms, 0 })
		r.want(r.start(t0, Request{}), Wait)
		a := r.want(r.call.Timer(at(200*ms)), Inject)
		if f := r.call.Fault(at(200*ms), a.Attempt); f.Kind != AttemptTimeout || f.Took != 200*ms {
			t.Errorf("%+v", f)
		}
		r.want(r.inject(at(200*ms), a), Reject)
		r.ended(AttemptTimeout, NotRetryable, 504, 1)
	})
	t.Run("until the call's is", func(t *testing.T) {
		r := faulty(t, slow, func(s *policy.Settings) { s.Timeouts.Overall = 200 * ms })
		r.want(r.start(t0, Request{}), Wait)
		r.want(r.inject(at(200*ms), r.call.Timer(at(200*ms))), Reject)
		r.ended(Deadline, ByDeadline, 504, 1)
	})
	t.Run("until the client leaves", func(t *testing.T) {
		r := faulty(t, slow, nil)
		r.want(r.start(t0, Request{}), Wait)
		r.want(r.call.ClientGone(at(100*ms)), Abort)
		r.ended(ClientGone, Abandoned, 0, 1)
	})
	t.Run("and then it is reset", func(t *testing.T) {
		r := faulty(t, policy.Faults{Delay: 300 * ms, Abort: policy.FaultReset}, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
		r.want(r.start(t0, Request{}), Wait)
		r.want(r.inject(at(300*ms), r.call.Timer(at(300*ms))), Reject)
		r.ended(Injected, NotRetryable, 502, 1)
		if o := r.call.Outcome(); o.Faults != (FaultCounts{Delays: 1, Resets: 1}) {
			t.Errorf("%+v", o.Faults)
		}
	})
}

// An attempt that is held up gets another beside it like one that is not answered.
func TestAttemptsThatAreHeldUpAreHedged(t *testing.T) {
	begin := func(t *testing.T) (*rig, AttemptID) {
		r := faulty(t, policy.Faults{Delay: time.Second}, nil)
		r.plan.Hedge = Hedge{After: 200 * ms, Max: 1}
		r.want(r.start(t0, Request{}), Wait)
		r.plan.Faults.Percent = 0
		a := r.want(r.call.Timer(at(200*ms)), StartAttempt)
		if a.Start != Hedged || r.call.Beside(a.Attempt) { // there is nothing that the driver could have beside it
			t.Fatalf("%+v", a)
		}
		r.placed(at(200 * ms))
		return r, a.Attempt
	}
	t.Run("and the hedge wins", func(t *testing.T) {
		r, _ := begin(t)
		r.want(r.respond(300*ms, 200), Forward)
		r.ended(OK, Recovered, 200, 2)
		if o := r.call.Outcome(); !o.HedgeWon || o.Hedges != 1 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("and it starts in the end", func(t *testing.T) {
		r, hedge := begin(t)
		if !r.call.HedgeAt().Equal(at(time.Second)) {
			t.Errorf("again at %v", r.call.HedgeAt().Sub(t0))
		}
		a := r.want(r.call.Timer(at(time.Second)), StartAttempt)
		if a.Start != First || !r.call.Beside(a.Attempt) {
			t.Fatalf("%+v", a)
		}
		r.placed(at(time.Second))
		if a = r.want(r.respond(1100*ms, 200), Forward); a.Cancel != SetOf(hedge) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("and there is no place for it in the end", func(t *testing.T) {
		r, hedge := begin(t)
		a := r.want(r.call.Timer(at(time.Second)), StartAttempt)
		r.want(r.call.Unplaced(at(time.Second), a.Attempt), Continue)
		r.id = hedge
		r.want(r.respond(1100*ms, 200), Forward)
		r.ended(OK, Recovered, 200, 2)
	})
	t.Run("and the hedge fails", func(t *testing.T) {
		r, _ := begin(t)
		a := r.want(r.respond(300*ms, 503), Wait)
		if !a.Keep || !a.Until.Equal(at(time.Second)) {
			t.Fatalf("%+v", a)
		}
		if a = r.want(r.call.Timer(at(time.Second)), StartAttempt); r.call.Beside(a.Attempt) {
			t.Fatalf("%+v", a)
		}
		r.placed(at(time.Second))
		r.want(r.respond(1100*ms, 200), Forward)
	})
}

// The end is that of either clock: what is set back prolongs nothing, what is set forward ends it.
func TestFaultsEndInTime(t *testing.T) {
	now := time.Now()
	f := &Faults{Faults: &policy.Faults{Until: now.Add(time.Minute).Unix(), Percent: 100, Delay: ms}, Ends: now.Add(time.Minute)}
	always := func() float64 { return 0 }
	later := func(d time.Duration) time.Time { return now.Add(d) }
	for name, tc := range map[string]struct {
		ends time.Time
		now  time.Time
		want bool
	}{
		"at first":                             {f.Ends, now, true},
		"shortly before":                       {f.Ends, later(58 * time.Second), true},
		"at the end":                           {f.Ends, later(time.Minute), false},
		"though the node's clock is behind":    {now.Add(-time.Second), now, false},
		"though the other one is behind":       {later(time.Hour), later(time.Minute), false},
		"where nothing is believed of the end": {time.Time{}, now, false},
	} {
		g := *f
		g.Ends = tc.ends
		if got := g.strikes(tc.now, always); got != tc.want {
			t.Errorf("%s: strikes %v", name, got)
		}
	}
	if (*Faults)(nil).strikes(now, always) {
		t.Error("what is absent strikes")
	}
}

// An attempt that is held up at the end starts then, by whichever clock it comes first, and is not aborted.
func TestAttemptsThatAreHeldUpAcrossTheEnd(t *testing.T) {
	const end = 5 * time.Second
	for name, tc := range map[string]struct {
		ends, until time.Duration
	}{
		"by the clock that nobody sets": {ends: end, until: time.Hour},
		"by the node's clock":           {ends: time.Hour, until: end},
		"by both":                       {ends: end, until: end},
	} {
		for _, abort := range []policy.FaultAbort{policy.NoFaultAbort, policy.FaultResponse, policy.FaultReset} {
			t.Run(fmt.Sprint(name, ", abort ", abort), func(t *testing.T) {
				r := faulty(t, policy.Faults{Delay: 5 * time.Minute, Abort: abort, Status: 503, GRPCStatus: 14}, func(s *policy.Settings) { s.Timeouts.Overall = time.Hour })
				r.plan.Faults.Ends, r.plan.Faults.Until = at(tc.ends), at(tc.until).Unix()
				if a := r.want(r.start(t0, Request{}), Wait); !a.Until.Equal(at(end)) {
					t.Fatalf("held up until %v after the call's begin, want %v", a.Until.Sub(t0), end)
				}
				r.want(r.call.Timer(at(end)), StartAttempt)
				r.placed(at(end))
				r.want(r.respond(end+ms, 200), Forward)
				r.ended(OK, NotNeeded, 200, 1)
				if o := r.call.Outcome(); o.Faults != (FaultCounts{Delays: 1}) {
					t.Errorf("%+v", o.Faults)
				}
			})
		}
	}
}

// A clock that is set past the end while an attempt is held up has it not be aborted.
func TestAClockThatIsSetPastTheEndWhileAnAttemptIsHeldUp(t *testing.T) {
	r := faulty(t, policy.Faults{Delay: time.Second, Abort: policy.FaultReset}, nil)
	r.want(r.start(t0, Request{}), Wait)
	r.plan.Faults.Until = at(time.Second).Unix() // as if now were later
	r.want(r.call.Timer(at(time.Second)), StartAttempt)
}

// The share is that of the attempts, within what chance allows.
func TestTheShareOfFaults(t *testing.T) {
	for _, percent := range []int{1, 10, 50, 99, 100} {
		random := rand.New(rand.NewPCG(7, uint64(percent)))
		f := &Faults{Faults: &policy.Faults{Until: at(time.Hour).Unix(), Percent: percent, Abort: policy.FaultReset}, Ends: at(time.Hour)}
		const n = 100_000
		struck := 0
		for range n {
			if f.strikes(t0, random.Float64) {
				struck++
			}
		}
		p := float64(percent) / 100
		if off := math.Abs(float64(struck) - n*p); off > 5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%d %%: %d of %d", percent, struck, n)
		}
	}
}

func TestTheJitterOfDelays(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 1))
	f := &Faults{Faults: &policy.Faults{Delay: 100 * ms, JitterPercent: 50}}
	least, most, sum := time.Hour, time.Duration(0), time.Duration(0)
	for range 10_000 {
		d := f.delay(random.Float64)
		least, most, sum = min(least, d), max(most, d), sum+d
	}
	if least < 50*ms || least > 51*ms || most > 150*ms || most < 149*ms || (sum/10_000-100*ms).Abs() > 2*ms {
		t.Errorf("from %v to %v, %v in the mean", least, most, sum/10_000)
	}
}

// A dry run beside a call cannot know what would have become of what has not happened.
func TestNothingIsSaidOfADryRunBesideFaults(t *testing.T) {
	r := faulty(t, resets, nil)
	shadow := planFor(&r.settings)
	r.plan.Shadow = &shadow
	r.want(r.inject(t0, r.start(t0, Request{})), Wait)
	if _, differs := r.call.Divergence(); differs || r.call.shadowed {
		t.Error("it is said to differ")
	}
	r = faulty(t, resets, nil)
	shadow = planFor(&r.settings)
	r.plan.Shadow, r.plan.Faults.Percent = &shadow, 0
	r.begin(Request{})
	a := r.want(r.respond(10*ms, 503), Wait)
	r.plan.Faults.Percent = 100
	r.inject(a.Until, r.call.Timer(a.Until))
	if _, differs := r.call.Divergence(); differs || r.call.shadowed {
		t.Error("it is said to differ")
	}
}

// A fault that meets the retry at once takes nothing from the response that was to be tried again.
func TestAFaultKeepsTheResponseBefore(t *testing.T) {
	r := faulty(t, resets, func(s *policy.Settings) { s.Retry.Backoff.Initial = 0 })
	r.plan.Faults.Percent = 0
	r.start(t0, Request{})
	r.plan.Faults.Percent = 100
	a := r.respond(ms, 503)
	if r.want(a, Inject); !a.Keep {
		t.Errorf("%+v drops the response", a)
	}
}

// One that waits for its place after it was held up is not hedged before it has that: nobody could start another one beside it.
func TestAnAttemptThatWasHeldUpIsPlacedBeforeItIsHedged(t *testing.T) {
	r := faulty(t, policy.Faults{Delay: 100 * ms}, nil)
	r.plan.Hedge = Hedge{After: 200 * ms, Max: 1}
	r.want(r.start(t0, Request{}), Wait)
	r.plan.Faults.Percent = 0
	if a := r.want(r.call.Timer(at(100*ms)), StartAttempt); !a.Until.Equal(at(10*time.Second)) || !r.call.HedgeAt().IsZero() {
		t.Errorf("%+v, hedged at %v", a, r.call.HedgeAt())
	}
	r.want(r.call.Timer(at(300*ms)), Continue)
	if a := r.placed(at(400 * ms)); !a.Until.Equal(at(200 * ms)) {
		t.Errorf("%+v", a)
	}
	r.want(r.call.Timer(at(400*ms)), StartAttempt)
}
