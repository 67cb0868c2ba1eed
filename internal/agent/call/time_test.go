package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func TestRule01_DeadlineCoversQueueAttemptsAndBackoff(t *testing.T) {
	t.Run("in the queue", func(t *testing.T) {
		r := newRig(t, nil)
		a := r.want(r.start(t0, Request{}), StartAttempt)
		if !a.Until.Equal(at(10 * time.Second)) {
			t.Fatalf("the queue is waited in until %v", a.Until)
		}
		a = r.want(r.call.Timer(a.Until), Reject)
		if a.Cancel != SetOf(0) {
			t.Error("the place in the queue is not given back")
		}
		r.ended(Deadline, ByDeadline, 504, 1)
	})
	t.Run("in an attempt without a limit of its own", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		a := r.want(r.call.Timer(at(10*time.Second)), Reject)
		if a.Cancel != SetOf(0) {
			t.Error("the attempt goes on")
		}
		r.ended(Deadline, ByDeadline, 504, 1)
	})
	t.Run("the driver says that the attempt timed out", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.fails(at(10*time.Second), timedOut), Reject)
		r.ended(Deadline, ByDeadline, 504, 1)
	})
	// A server that knows the call's time (grpc-timeout) ends it by then itself. A client that hears of a stream that was refused makes the call once more.
	t.Run("the server ends the attempt when the time is up", func(t *testing.T) {
		for _, f := range []Failure{{Kind: RefusedStream, PeerUnprocessed: true}, {Kind: Reset}, {Kind: BadResponse}} {
			for after, want := range map[time.Duration]bool{-time.Millisecond: false, 0: true, 900 * time.Microsecond: true} {
				r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
				r.begin(Request{GRPC: true})
				r.sending(t0)
				r.want(r.fails(at(10*time.Second+after), fault{f, true}), Reject)
				if o := r.call.Outcome(); (o.Kind == Deadline && o.Decision == ByDeadline) != want {
					t.Errorf("%v, %v after the deadline: the call ended by %v, %v", f.Kind, after, o.Kind, o.Decision)
				}
			}
		}
	})
	t.Run("the wait ends late", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.respond(0, 503), Wait)
		r.want(r.call.Timer(at(10*time.Second)), ForwardKept)
		r.ended(OK, ByDeadline, 503, 1)
	})
	t.Run("after the response only maxDuration counts", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Timeouts.MaxDuration = time.Minute })
		r.begin(Request{})
		if a := r.want(r.respond(time.Second, 200), Forward); !a.Until.Equal(at(time.Minute)) {
			t.Errorf("the exchange may go on until %v", a.Until)
		}
		r = newRig(t, nil)
		r.begin(Request{})
		if a := r.want(r.respond(time.Second, 200), Forward); !a.Until.IsZero() {
			t.Errorf("the body is cut at %v", a.Until)
		}
	})
	t.Run("no deadline at all", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Timeouts.Overall = 0 })
		if a := r.want(r.start(t0, Request{}), StartAttempt); !a.Until.IsZero() {
			t.Errorf("there is a deadline: %v", a.Until)
		}
	})
}

func TestRule02_AttemptTimer(t *testing.T) {
	limits := func(s *policy.Settings) { s.Timeouts.PerTry, s.Timeouts.ResponseHeader = 3*time.Second, time.Second }
	t.Run("starts at dispatch", func(t *testing.T) {
		r := newRig(t, limits)
		r.want(r.start(t0, Request{}), StartAttempt)
		if a := r.placed(at(5 * time.Second)); !a.Until.Equal(at(8 * time.Second)) {
			t.Errorf("the attempt lasts until %v", a.Until)
		}
	})
	t.Run("never longer than the deadline", func(t *testing.T) {
		r := newRig(t, limits)
		r.want(r.start(t0, Request{}), StartAttempt)
		if a := r.placed(at(8 * time.Second)); !a.Until.Equal(at(10 * time.Second)) {
			t.Errorf("the attempt lasts until %v", a.Until)
		}
	})
	t.Run("the response header timer starts at the last byte of the request", func(t *testing.T) {
		r := newRig(t, limits)
		r.begin(Request{})
		if a := r.written(at(500 * ms)); !a.Until.Equal(at(1500 * ms)) {
			t.Errorf("response headers are waited for until %v", a.Until)
		}
		r.want(r.call.Timer(at(1500*ms)), Wait)
	})
	t.Run("and does not prolong the attempt", func(t *testing.T) {
		r := newRig(t, limits)
		r.begin(Request{})
		if a := r.written(at(2500 * ms)); !a.Until.Equal(at(3 * time.Second)) {
			t.Errorf("response headers are waited for until %v", a.Until)
		}
	})
	t.Run("what connecting took is not left for the response", func(t *testing.T) {
		r := newRig(t, limits)
		r.begin(Request{})
		if a := r.sending(at(2800 * ms)); !a.Until.Equal(at(10*time.Second)) || r.call.TimeLeft(r.id) != 200*ms {
			t.Errorf("while the request is sent the attempt lasts until %v, and has %v after that", a.Until, r.call.TimeLeft(r.id))
		}
		if a := r.written(at(5 * time.Second)); !a.Until.Equal(at(5200 * ms)) {
			t.Errorf("response headers are waited for until %v", a.Until)
		}
	})
	t.Run("a timer that comes early changes nothing", func(t *testing.T) {
		r := newRig(t, limits)
		r.begin(Request{})
		if a := r.want(r.call.Timer(at(time.Second)), Continue); !a.Until.Equal(at(3 * time.Second)) {
			t.Errorf("the attempt lasts until %v", a.Until)
		}
	})
	t.Run("an attempt that times out is cancelled and retried", func(t *testing.T) {
		r := newRig(t, limits)
		r.begin(Request{})
		a := r.want(r.call.Timer(at(3*time.Second)), Wait)
		if a.Cancel != SetOf(0) {
			t.Error("the attempt goes on")
		}
		r.nextAttempt(a)
		r.want(r.respond(4*time.Second, 200), Forward)
		r.ended(OK, Recovered, 200, 2)
	})
	t.Run("the last attempt's timeout is the reason", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { limits(s); s.Retry.MaxRetries = 1 })
		r.begin(Request{})
		again := r.nextAttempt(r.call.Timer(at(3 * time.Second)))
		r.want(r.call.Timer(again.Add(3*time.Second)), Reject)
		r.ended(AttemptTimeout, Exhausted, 504, 2)
	})
}

func TestRule03_WaitThatDoesNotFitIsNotWaited(t *testing.T) {
	t.Run("with a response", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.respond(9900*ms, 503), Forward)
		r.ended(OK, ByDeadline, 503, 1)
	})
	t.Run("with the response of an earlier attempt", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		a := r.want(r.respond(9700*ms, 503), Wait)
		if !a.Keep {
			t.Fatal("the response is not kept")
		}
		again := r.nextAttempt(a)
		r.want(r.fails(again.Add(150*ms), refused), ForwardKept)
		r.ended(OK, ByDeadline, 503, 2)
		if o := r.call.Outcome(); o.Cause != ConnectFailed || o.Local() {
			t.Errorf("cause %v, local %v", o.Cause, o.Local())
		}
	})
	t.Run("without", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.fails(at(9950*ms), refused), Reject)
		r.ended(Deadline, ByDeadline, 504, 1)
		if o := r.call.Outcome(); o.Cause != ConnectFailed {
			t.Errorf("cause %v, want that of the attempt", o.Cause)
		}
	})
	t.Run("Retry-After", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.head(t0, Response{Status: 503, GRPCStatus: -1, HasRetryAfter: true, RetryAfter: 10 * time.Second}), Forward)
		r.ended(OK, ByDeadline, 503, 1)
	})
}

func TestRule04_ClientGone(t *testing.T) {
	withBreaker := func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.FailureOn = 1, policy.Of(policy.Reset, policy.ServerError)
		s.Breaker = &b
	}
	phases := map[string]struct {
		reach    func(*rig)
		cancel   AttemptSet
		attempts int
	}{
		"in the queue":         {func(r *rig) { r.start(t0, Request{}) }, SetOf(0), 1},
		"in an attempt":        {func(r *rig) { r.begin(Request{}) }, SetOf(0), 1},
		"between attempts":     {func(r *rig) { r.begin(Request{}); r.want(r.fails(t0, timedOut), Wait) }, 0, 1},
		"with a response kept": {func(r *rig) { r.begin(Request{}); r.want(r.respond(0, 429), Wait) }, SetOf(0), 1},
		"in a later attempt":   {func(r *rig) { r.begin(Request{}); r.nextAttempt(r.respond(0, 429)) }, SetOf(0) | SetOf(1), 2},
	}
	for name, tc := range phases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withBreaker)
			tc.reach(r)
			a := r.want(r.call.ClientGone(at(time.Second)), Abort)
			if a.Cancel != tc.cancel {
				t.Errorf("cancel %b, want %b", a.Cancel, tc.cancel)
			}
			r.ended(ClientGone, Abandoned, 0, tc.attempts)
			if s := r.plan.Breaker.Status(at(time.Second)); s.Opened != 0 {
				t.Error("the upstream was blamed")
			}
		})
	}
}

func TestRule05_TheSmallerDeadlineCounts(t *testing.T) {
	for name, tc := range map[string]struct{ overall, client, want time.Duration }{
		"client's":    {10 * time.Second, 2 * time.Second, 2 * time.Second},
		"policy's":    {10 * time.Second, 20 * time.Second, 10 * time.Second},
		"only client": {0, 2 * time.Second, 2 * time.Second},
	} {
		r := newRig(t, func(s *policy.Settings) { s.Timeouts.Overall = tc.overall })
		if a := r.start(t0, Request{Timeout: tc.client}); !a.Until.Equal(at(tc.want)) {
			t.Errorf("%s: until %v, want %v", name, a.Until, at(tc.want))
		}
	}
}

func TestRule14_RetryAfterRaisesTheDelay(t *testing.T) {
	tests := map[string]struct {
		change     func(*policy.RetryAfter)
		retryAfter time.Duration
		do         Do
		delay      time.Duration
		decision   RetryDecision
	}{
		"longer than the backoff":  {nil, time.Second, Wait, time.Second, 0},
		"shorter than the backoff": {nil, 50 * ms, Wait, 100 * ms, 0},
		"zero":                     {nil, 0, Wait, 100 * ms, 0},
		"the longest honoured":     {func(r *policy.RetryAfter) { r.Max = 2 * time.Second }, 2 * time.Second, Wait, 2 * time.Second, 0},
		"longer than that":         {func(r *policy.RetryAfter) { r.Max = 2 * time.Second }, 3 * time.Second, Forward, 0, ByDeadline},
		"no longest":               {func(r *policy.RetryAfter) { r.Max = 0 }, 9 * time.Second, Wait, 9 * time.Second, 0},
		"not honoured":             {func(r *policy.RetryAfter) { r.Honor = false }, time.Hour, Wait, 100 * ms, 0},
		"negative pushback":        {nil, -1, Forward, 0, NotRetryable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) {
				if tc.change != nil {
					tc.change(&s.Retry.RetryAfter)
				}
			})
			r.begin(Request{})
			a := r.want(r.head(t0, Response{Status: 503, GRPCStatus: -1, HasRetryAfter: true, RetryAfter: tc.retryAfter}), tc.do)
			if tc.do == Wait && !a.Until.Equal(at(tc.delay)) {
				t.Errorf("waits %v, want %v", a.Until.Sub(t0), tc.delay)
			}
			if tc.do == Forward {
				r.ended(OK, tc.decision, 503, 1)
			}
		})
	}
}
