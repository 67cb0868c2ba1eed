package call

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

var (
	pending     = Response{Status: 200, GRPCStatus: -1, GRPCPending: true}
	unavailable = Response{Status: 200, GRPCStatus: 14}
	fine        = Response{Status: 200, GRPCStatus: 0}
)

// rpc is a gRPC call as clients make it.
var rpc = Request{Method: Unsafe, GRPC: true, Refusable: true}

// retriesUnavailable has calls repeated, whatever they do, that end with UNAVAILABLE.
func retriesUnavailable(s *policy.Settings) {
	s.Retry.GRPCStatuses = []policy.GRPCStatus{14}
	s.Retry.Idempotency = policy.AnyMethod
}

func TestRule09_GRPCStatusesAreRetried(t *testing.T) {
	internal := Response{Status: 200, GRPCStatus: 13}
	for name, tc := range map[string]struct {
		change   func(*policy.Settings)
		q        Request
		r        Response
		do       Do
		decision RetryDecision
	}{
		"one that is listed":          {retriesUnavailable, rpc, unavailable, Wait, 0},
		"another":                     {retriesUnavailable, rpc, internal, Forward, NotRetryable},
		"OK":                          {retriesUnavailable, rpc, fine, Forward, NotNeeded},
		"one that is the caller's":    {retriesUnavailable, rpc, Response{Status: 200, GRPCStatus: 5}, Forward, NotNeeded},
		"none is listed":              {gate(policy.AnyMethod), rpc, unavailable, Forward, NotRetryable},
		"a POST, which may have paid": {func(s *policy.Settings) { s.Retry.GRPCStatuses = []policy.GRPCStatus{14} }, rpc, unavailable, Forward, ByMethod},
		"with a key where keys count": {func(s *policy.Settings) {
			retriesUnavailable(s)
			s.Retry.Idempotency = policy.IdempotentOrKeyed
		}, Request{Method: Unsafe, GRPC: true, Keyed: true}, unavailable, Wait, 0},
		"retries switched off":                  {func(s *policy.Settings) { retriesUnavailable(s); s.Retry.MaxRetries = 0 }, rpc, unavailable, Forward, NotRetryable},
		"while the request is still being sent": {retriesUnavailable, rpc, Response{Status: 200, GRPCStatus: 14, RequestUnfinished: true}, Forward, ByBody},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.change)
			r.begin(tc.q)
			r.want(r.head(at(ms), tc.r), tc.do)
			if tc.do == Forward {
				r.ended(OK, tc.decision, 200, 1)
			}
			if o := r.call.Outcome(); tc.do == Forward && o.GRPCStatus != tc.r.GRPCStatus {
				t.Errorf("its status is %d", o.GRPCStatus)
			}
		})
	}
}

// A response whose status is to come is held back as long as its trailers could lead to another attempt, and no longer.
func TestRule09_TrailersBeforeAnyMessageCount(t *testing.T) {
	hold := func(t *testing.T, change func(*policy.Settings)) *rig {
		t.Helper()
		r := newRig(t, func(s *policy.Settings) {
			retriesUnavailable(s)
			if change != nil {
				change(s)
			}
		})
		r.begin(rpc)
		r.want(r.head(at(10*ms), pending), Hold)
		return r
	}
	t.Run("a failure is retried", func(t *testing.T) {
		r := hold(t, nil)
		a := r.head(at(20*ms), unavailable)
		if !a.Keep {
			t.Error("it is not kept for the case that nothing better comes")
		}
		r.nextAttempt(a)
		if r.call.Retries() != 1 {
			t.Errorf("%d retries", r.call.Retries())
		}
		r.want(r.head(at(300*ms), fine), Forward)
		r.ended(OK, Recovered, 200, 2)
	})
	t.Run("a success is forwarded", func(t *testing.T) {
		r := hold(t, nil)
		r.want(r.head(at(20*ms), fine), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("a message ends it", func(t *testing.T) {
		r := hold(t, nil)
		r.want(r.call.MessageBegun(at(20*ms), r.id), Forward)
		r.ended(OK, NotNeeded, 200, 1)
		r.finished(at(time.Second), End{GRPCStatus: 14})
		r.ended(OK, NotRetryable, 200, 1)
	})
	t.Run("so does time", func(t *testing.T) {
		r := hold(t, nil)
		r.want(r.call.Timer(at(10*ms+holdLimit-1)), Continue)
		r.want(r.call.Timer(at(10*ms+holdLimit)), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("so does the deadline, with the answer that is there", func(t *testing.T) {
		r := hold(t, func(s *policy.Settings) { s.Timeouts.Overall = 50 * ms })
		r.want(r.call.Timer(at(49*ms)), Continue)
		r.want(r.call.Timer(at(50*ms)), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("a reset is one without an answer", func(t *testing.T) {
		r := hold(t, nil)
		r.nextAttempt(r.fails(at(20*ms), fault{Failure{Kind: Reset, Reused: true}, true}))
	})
	t.Run("the clock of the attempt stands", func(t *testing.T) {
		r := hold(t, func(s *policy.Settings) { s.Timeouts.PerTry = 40 * ms })
		r.want(r.call.Timer(at(90*ms)), Continue)
		r.want(r.sending(at(90*ms)), Continue)
		r.want(r.written(at(90*ms)), Continue)
		r.want(r.call.Timer(at(109*ms)), Continue)
		r.want(r.head(at(109*ms), fine), Forward)
	})
}

func TestNothingIsHeldBackForNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		q      Request
		r      Response
	}{
		"no status is retried":            {gate(policy.AnyMethod), rpc, pending},
		"a call that is not repeated":     {gate(policy.IdempotentMethods), rpc, pending},
		"retries switched off":            {func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, rpc, pending},
		"the client goes on sending":      {nil, rpc, Response{Status: 200, GRPCStatus: -1, GRPCPending: true, RequestUnfinished: true}},
		"a response that has said it all": {nil, rpc, Response{Status: 200, GRPCStatus: 5}},
		"one that is not gRPC's":          {nil, Request{Method: Unsafe}, plain(200)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) {
				retriesUnavailable(s)
				if tc.change != nil {
					tc.change(s)
				}
				if name == "no status is retried" {
					s.Retry.GRPCStatuses = nil
				}
			})
			r.begin(tc.q)
			r.want(r.head(at(ms), tc.r), Forward)
		})
	}
	t.Run("a body that is gone", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		r.begin(Request{Method: Unsafe, GRPC: true, HasBody: true})
		r.call.BodyOverflowed()
		r.want(r.head(at(ms), pending), Forward)
	})
	t.Run("after an interim response", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		r.begin(rpc)
		r.call.Interim(t0, r.id)
		r.want(r.head(at(ms), pending), Forward)
	})
	t.Run("the last attempt", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { retriesUnavailable(s); s.Retry.MaxRetries = 1 })
		r.begin(rpc)
		now := r.nextAttempt(r.head(at(ms), unavailable))
		r.want(r.head(now, pending), Forward)
	})
	t.Run("an override may still retry", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) {
			s.Retry.Idempotency = policy.AnyMethod
			s.Retry.Overrides = []policy.RetryOverride{{GRPCStatuses: []policy.GRPCStatus{8}, MaxRetries: 1}}
		})
		r.begin(rpc)
		r.want(r.head(at(ms), pending), Hold)
		r.want(r.head(at(ms), Response{Status: 200, GRPCStatus: 8}), StartAttempt)
		r.placed(at(ms))
		r.want(r.head(at(ms), pending), Forward)
	})
}

func TestRule07_ARefusedCallIsRepeatedWithItsBody(t *testing.T) {
	r := newRig(t, nil)
	q := rpc
	q.HasBody = true
	r.begin(q)
	if !r.call.NeedsReplay() {
		t.Fatal("the body is not kept")
	}
	r.nextAttempt(r.fails(at(ms), fault{Failure{Kind: RefusedStream, PeerUnprocessed: true}, true}))
	r.want(r.fails(at(200*ms), sentLost), Reject)
	r.ended(Reset, ByMethod, 502, 2)
}

func TestRule14_PushbackOfServers(t *testing.T) {
	pushback := func(d time.Duration) Response {
		return Response{Status: 200, GRPCStatus: 14, RetryAfter: d, HasRetryAfter: true}
	}
	t.Run("raises the delay", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		r.begin(rpc)
		if a := r.want(r.head(t0, pushback(3*time.Second)), Wait); a.Until != at(3*time.Second) {
			t.Errorf("until %v", a.Until.Sub(t0))
		}
	})
	t.Run("never lowers it", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		r.begin(rpc)
		if a := r.want(r.head(t0, pushback(0)), Wait); a.Until != at(100*ms) {
			t.Errorf("until %v", a.Until.Sub(t0))
		}
	})
	t.Run("in trailers", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		r.begin(rpc)
		r.want(r.head(t0, pending), Hold)
		if a := r.want(r.head(t0, pushback(2*time.Second)), Wait); a.Until != at(2*time.Second) {
			t.Errorf("until %v", a.Until.Sub(t0))
		}
	})
	for name, tc := range map[string]struct {
		r Response
		d RetryDecision
	}{
		"a negative one forbids it": {pushback(-1), NotRetryable},
		"beyond retryAfter.max":     {pushback(31 * time.Second), ByDeadline},
		"beyond the deadline":       {pushback(11 * time.Second), ByDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, retriesUnavailable)
			r.begin(rpc)
			r.want(r.head(t0, tc.r), Forward)
			r.ended(OK, tc.d, 200, 1)
		})
	}
	t.Run("is what Retry-After is to others", func(t *testing.T) {
		asked := func(s *policy.Settings) {
			s.Retry.On, s.Retry.Idempotency = policy.Of(policy.RetryAfterPresent), policy.AnyMethod
		}
		r := newRig(t, asked)
		r.begin(rpc)
		r.want(r.head(t0, pushback(time.Second)), Wait)
		for _, p := range []Response{pushback(-1), unavailable, {Status: 200, HasRetryAfter: true, RetryAfter: time.Second}} {
			r = newRig(t, asked)
			r.begin(rpc)
			r.want(r.head(t0, p), Forward)
		}
	})
}

func TestRule26_LocalAnswersToGRPC(t *testing.T) {
	for k, want := range map[Kind]codes.Code{
		ClientGone: codes.Canceled, ConnectFailed: codes.Unavailable, ConnectTimeout: codes.Unavailable, AttemptTimeout: codes.DeadlineExceeded,
		Deadline: codes.DeadlineExceeded, Reset: codes.Unavailable, RefusedStream: codes.Unavailable, BadResponse: codes.Internal,
		Overflow: codes.Unavailable, BreakerOpen: codes.Unavailable, RateLimited: codes.ResourceExhausted, Internal: codes.Internal,
		KindCount: codes.Internal,
	} {
		if got := k.GRPCStatus(); got != int(want) {
			t.Errorf("%v is answered %d, want %v", k, got, want)
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
		r.want(r.head(at(ms), pending), Hold)
		r.want(r.head(at(2*ms), unavailable), Wait)
		r.differs(Forward, First)
	})
	t.Run("until a message", func(t *testing.T) {
		r := newRig(t, retriesUnavailable)
		other := newRig(t, nil)
		r.plan.Shadow = &other.plan
		r.begin(rpc)
		r.want(r.head(at(ms), pending), Hold)
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
	r.want(r.call.ResponseHead(at(90*ms), first, pending), Hold)
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
