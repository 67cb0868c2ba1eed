package call

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule26_LocalAnswersToGRPC(t *testing.T) {
	answers := map[Kind]codes.Code{
		ClientGone: codes.Canceled, ConnectFailed: codes.Unavailable, ConnectTimeout: codes.Unavailable, DNSFailed: codes.Unavailable, AttemptTimeout: codes.DeadlineExceeded,
		Deadline: codes.DeadlineExceeded, Reset: codes.Unavailable, RefusedStream: codes.Unavailable, BadResponse: codes.Internal,
		ProxyRefused: codes.Unavailable, TLSFailed: codes.Unavailable,
		Overflow: codes.Unavailable, BreakerOpen: codes.Unavailable, RateLimited: codes.ResourceExhausted, Injected: codes.Unavailable, Internal: codes.Internal,
		KindCount: codes.Internal,
	}
	for k := OK + 1; k <= KindCount; k++ {
		if k == Superseded { // never a call's
			continue
		}
		if want, ok := answers[k]; !ok || k.GRPCStatus() != int(want) {
			t.Errorf("%v is answered %d, want %v, %v", k, k.GRPCStatus(), want, ok)
		}
	}
	if got := OK.GRPCStatus(); got != -1 {
		t.Errorf("an upstream's answer has status %d", got)
	}
	for name, tc := range map[string]struct {
		q    Request
		f    fault
		want int
	}{
		"a lost connection":       {rpc, sentLost, 14},
		"a reset with a meaning":  {rpc, fault{Failure{Kind: Reset, GRPCStatus: 8}, true}, 8},
		"a timeout":               {rpc, timedOut, 4},
		"a call that is not gRPC": {Request{Method: Unsafe}, fault{Failure{Kind: Reset, GRPCStatus: 8}, true}, -1},
	} {
		r := newRig(t, nil)
		r.begin(tc.q)
		r.want(r.fails(at(ms), tc.f), Reject)
		if o := r.call.Outcome(); o.GRPCStatus != tc.want {
			t.Errorf("%s is answered %d, want %d", name, o.GRPCStatus, tc.want)
		}
	}
}

// What a reset meant says nothing of how a later attempt ended.
func TestAResetsMeaningIsOfItsAttempt(t *testing.T) {
	r := newRig(t, gate(policy.AnyMethod))
	r.begin(rpc)
	now := r.nextAttempt(r.fails(at(ms), fault{Failure{Kind: Reset, GRPCStatus: 8}, true}))
	now = r.nextAttempt(r.fails(now, sentLost))
	r.want(r.fails(now, sentLost), Reject)
	if o := r.call.Outcome(); o.GRPCStatus != 14 {
		t.Errorf("it is answered %d", o.GRPCStatus)
	}
}

func TestTheEndOfACallIsInItsTrailers(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*policy.Settings)
		end      End
		status   int
		decision RetryDecision
	}{
		"a success":                    {nil, End{GRPCStatus: 0}, 0, NotNeeded},
		"a failure":                    {gate(policy.AnyMethod), End{GRPCStatus: 13}, 13, NotRetryable},
		"a failure of a POST":          {nil, End{GRPCStatus: 13}, 13, ByMethod},
		"the caller's own":             {nil, End{GRPCStatus: 5}, 5, NotNeeded},
		"the caller's own, but listed": {func(s *policy.Settings) { retriesUnavailable(s); s.Retry.GRPCStatuses[0] = 5 }, End{GRPCStatus: 5}, 5, NotRetryable},
		"the client has left":          {nil, End{ClientGone: true, Truncated: true, GRPCStatus: -1}, -1, NotNeeded},
		"it broke off":                 {nil, End{Truncated: true, GRPCStatus: -1}, -1, NotNeeded},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.change)
			r.begin(rpc)
			p := pending
			p.RequestUnfinished = true
			r.want(r.head(at(ms), p), Forward)
			if o := r.finished(at(2*ms), tc.end); o.GRPCStatus != tc.status || o.Decision != tc.decision {
				t.Errorf("status %d, %v; want %d, %v", o.GRPCStatus, o.Decision, tc.status, tc.decision)
			}
		})
	}
}

func TestRule22_GRPCStatusesFeedTheBreaker(t *testing.T) {
	for name, tc := range map[string]struct {
		r    Response
		then *Response
		want resilience.State
	}{
		"trailers-only":                {unavailable, nil, resilience.Open},
		"a status that does not count": {Response{Status: 200, GRPCStatus: 8}, nil, resilience.Closed},
		"trailers before any message":  {pending, &unavailable, resilience.Open},
		"all right":                    {pending, &fine, resilience.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) {
				retriesUnavailable(s)
				breaking(s)
				s.Breaker.ConsecutiveFailures, s.Breaker.FailureGRPC = 1, []policy.GRPCStatus{14}
			})
			r.begin(rpc)
			r.head(t0, tc.r)
			if tc.then != nil {
				r.head(t0, *tc.then)
			}
			if got := r.plan.Breaker.Status(t0).State; got != tc.want {
				t.Errorf("the breaker is %v", got)
			}
		})
	}
}

// A shadow sees what the driver makes happen: it does not hold back what is forwarded.
func TestAShadowHoldsBackWithItsCall(t *testing.T) {
	t.Run("only the shadow would", func(t *testing.T) {
		r := shadowing(t, retriesUnavailable)
		r.begin(rpc)
		r.want(r.head(at(ms), pending), Forward)
		r.finished(at(ms), End{GRPCStatus: 14})
		if d, ok := r.call.Divergence(); ok {
			t.Errorf("%+v", d)
		}
	})
	t.Run("the call does", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		other := newRig(t, nil)
		r.plan.Shadow = &other.plan
		r.begin(rpc)
		r.want(r.head(at(ms), pending), AwaitTrailers)
		r.want(r.head(at(2*ms), unavailable), Wait)
		r.differs(Forward, First)
	})
	t.Run("until a message", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		other := newRig(t, nil)
		r.plan.Shadow = &other.plan
		r.begin(rpc)
		r.want(r.head(at(ms), pending), AwaitTrailers)
		r.want(r.call.MessageBegun(at(2*ms), r.id), Forward)
		if d, ok := r.call.Divergence(); ok {
			t.Errorf("%+v", d)
		}
	})
}

// While one response is held back another attempt may be under way.
func TestRule17_AHeldResponseBesideAHedge(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { retriesUnavailable(s); s.Retry.MaxRetries = 3; s.Timeouts.Overall = 100 * ms })
	r.plan.Hedge = Hedge{After: 10 * ms, Max: 1}
	r.begin(rpc)
	first := r.id
	r.want(r.call.Timer(at(10*ms)), StartAttempt)
	r.placed(at(10 * ms))
	r.want(r.call.ResponseHead(at(90*ms), first, pending), AwaitTrailers)
	a := r.want(r.call.AttemptFailed(at(100*ms), r.id, timedOut.Failure), Forward)
	if a.Attempt != first {
		t.Errorf("attempt %d is forwarded", a.Attempt)
	}
	r.ended(OK, Recovered, 200, 2)
}

// A server that knows the deadline gives up when it passes, which may be noticed before our own timer.
func TestRule05_AServerGivesUpAtTheDeadline(t *testing.T) {
	gaveUp := fault{Failure{Kind: Reset, GRPCStatus: 1}, true}
	r := newRig(t, nil)
	q := rpc
	q.Timeout = time.Second
	r.begin(q)
	r.want(r.fails(at(time.Second), gaveUp), Reject)
	r.ended(Deadline, ByDeadline, 504, 1)
	r = newRig(t, nil)
	r.begin(q)
	r.want(r.fails(at(999*ms), gaveUp), Reject)
	r.ended(Reset, ByMethod, 502, 1)
}

// opened is a rig whose breaker is open until openUntil, and closes with the success of one probe.
func opened(t *testing.T) (r *rig, openUntil time.Time) {
	t.Helper()
	r = newRig(t, func(s *policy.Settings) {
		breaking(s)
		s.Timeouts.Overall = 0
		s.Breaker.ConsecutiveFailures, s.Breaker.FailureGRPC = 1, []policy.GRPCStatus{14}
		s.Breaker.OpenDuration, s.Breaker.OpenMaxDuration, s.Breaker.OpenJitterPercent = time.Second, time.Second, 0
		s.Breaker.Probes, s.Breaker.SuccessesToClose = 1, 1
	})
	r.begin(rpc)
	r.want(r.head(t0, unavailable), Forward)
	if s := r.plan.Breaker.Status(t0); s.State != resilience.Open {
		t.Fatalf("the breaker is %v", s.State)
	}
	return r, at(1001 * ms)
}

// Streams last for hours: a probe that is one has succeeded with its first message.
func TestRule22_AStreamIsAProbeUntilItsFirstMessage(t *testing.T) {
	state := func(r *rig, now time.Time) resilience.State { return r.plan.Breaker.Status(now).State }
	t.Run("a message", func(t *testing.T) {
		r, now := opened(t)
		r.want(r.start(now, rpc), StartAttempt)
		r.placed(now)
		r.want(r.head(now, pending), AwaitTrailers)
		if got := state(r, now); got != resilience.HalfOpen {
			t.Errorf("the breaker is %v with the head", got)
		}
		r.want(r.call.MessageBegun(now, r.id), Forward)
		if got := state(r, now); got != resilience.Closed {
			t.Errorf("the breaker is %v with the message", got)
		}
		r.finished(now.Add(time.Hour), End{GRPCStatus: 14}) // counts as any other
		if got := state(r, now.Add(time.Hour)); got != resilience.Open {
			t.Errorf("the breaker is %v in the end", got)
		}
	})
	t.Run("no message, for as long as a head is kept back", func(t *testing.T) {
		r, now := opened(t)
		r.want(r.start(now, rpc), StartAttempt)
		r.placed(now)
		r.want(r.head(now, pending), AwaitTrailers)
		r.want(r.call.Timer(now.Add(trailersLimit)), Forward)
		if got := state(r, now.Add(trailersLimit)); got != resilience.Closed {
			t.Errorf("the breaker is %v", got)
		}
	})
	t.Run("a client that goes on sending", func(t *testing.T) {
		r, now := opened(t)
		r.want(r.start(now, rpc), StartAttempt)
		r.placed(now)
		p := pending
		p.RequestUnfinished = true
		r.want(r.head(now, p), Forward)
		if got := state(r, now); got != resilience.Closed {
			t.Errorf("the breaker is %v", got)
		}
	})
	t.Run("trailers before any message", func(t *testing.T) {
		r, now := opened(t)
		r.want(r.start(now, rpc), StartAttempt)
		r.placed(now)
		r.want(r.head(now, pending), AwaitTrailers)
		r.want(r.head(now, unavailable), Forward)
		if got := state(r, now); got != resilience.Open {
			t.Errorf("the breaker is %v", got)
		}
	})
}
