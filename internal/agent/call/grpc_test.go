package call

import (
	"testing"
	"time"

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
	await := func(t *testing.T, change func(*policy.Settings)) *rig {
		t.Helper()
		r := newRig(t, func(s *policy.Settings) {
			retriesUnavailable(s)
			if change != nil {
				change(s)
			}
		})
		r.begin(rpc)
		r.want(r.head(at(10*ms), pending), AwaitTrailers)
		return r
	}
	t.Run("a failure is retried", func(t *testing.T) {
		r := await(t, nil)
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
		r := await(t, nil)
		r.want(r.head(at(20*ms), fine), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("a message ends it", func(t *testing.T) {
		r := await(t, nil)
		r.want(r.call.MessageBegun(at(20*ms), r.id), Forward)
		r.ended(OK, NotNeeded, 200, 1)
		r.finished(at(time.Second), End{GRPCStatus: 14})
		r.ended(OK, NotRetryable, 200, 1)
	})
	t.Run("so does time", func(t *testing.T) {
		r := await(t, nil)
		r.want(r.call.Timer(at(10*ms+trailersLimit-1)), Continue)
		r.want(r.call.Timer(at(10*ms+trailersLimit)), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("so does the deadline, with the answer that is there", func(t *testing.T) {
		r := await(t, func(s *policy.Settings) { s.Timeouts.Overall = 50 * ms })
		r.want(r.call.Timer(at(49*ms)), Continue)
		r.want(r.call.Timer(at(50*ms)), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
	t.Run("a reset is one without an answer", func(t *testing.T) {
		r := await(t, nil)
		r.nextAttempt(r.fails(at(20*ms), fault{Failure{Kind: Reset, Reused: true}, true}))
	})
	t.Run("the clock of the attempt stands", func(t *testing.T) {
		r := await(t, func(s *policy.Settings) { s.Timeouts.PerTry = 40 * ms })
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
		r.want(r.head(at(ms), pending), AwaitTrailers)
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
		r.want(r.head(t0, pending), AwaitTrailers)
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
