package call

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule07_ProvablyUnsentIsRetriedForAnyMethod(t *testing.T) {
	tests := map[string]struct {
		f    fault
		does Do
	}{
		"connection refused":               {refused, Wait},
		"connect timeout":                  {fault{Failure{Kind: ConnectTimeout}, false}, Wait},
		"reset before the first byte":      {fault{Failure{Kind: Reset}, false}, Wait},
		"timed out before the first byte":  {fault{Failure{Kind: AttemptTimeout}, false}, Wait},
		"refused stream":                   {fault{Failure{Kind: RefusedStream, PeerUnprocessed: true}, true}, Wait},
		"reset after the first byte":       {sentLost, Reject},
		"reset in the response head":       {fault{Failure{Kind: Reset, ResponseStarted: true}, true}, Reject},
		"a response is proof of a request": {fault{Failure{Kind: Reset, ResponseStarted: true}, false}, Reject},
		"timed out after the first byte":   {timedOut, Reject},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.begin(Request{Method: Unsafe})
			r.want(r.fails(at(ms), tc.f), tc.does)
			if tc.does == Reject {
				r.ended(tc.f.Kind, ByMethod, tc.f.Kind.Status(), 1)
			}
		})
	}
	t.Run("a timer goes by the bytes accepted", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Timeouts.PerTry = time.Second })
		r.begin(Request{Method: Unsafe})
		r.nextAttempt(r.call.Timer(at(time.Second)))
		r.call.BytesAccepted(r.id)
		r.want(r.call.Timer(at(3*time.Second)), Reject)
		r.ended(AttemptTimeout, ByMethod, 504, 2)
	})
}

func TestRule08_StaleConnectionIsRepairedAtOnce(t *testing.T) {
	none := func(s *policy.Settings) { s.Retry.MaxRetries, s.Retry.On = 0, 0 }
	t.Run("without retries configured", func(t *testing.T) {
		r := newRig(t, none)
		r.begin(Request{Method: Idempotent})
		if a := r.want(r.fails(at(ms), stale), StartAttempt); !a.Fresh {
			t.Error("the attempt may meet another dead connection")
		}
		r.want(r.respond(2*ms, 200), Forward)
		r.ended(OK, Recovered, 200, 2)
	})
	t.Run("with a body, without retries configured", func(t *testing.T) {
		r := newRig(t, none)
		r.begin(Request{Method: Idempotent, HasBody: true})
		if !r.call.NeedsReplay() {
			t.Fatal("the body is not kept for a repair")
		}
		r.want(r.fails(at(ms), stale), StartAttempt)
	})
	t.Run("does not use up maxRetries", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.fails(t0, stale), StartAttempt)
		for range 2 {
			a := r.want(r.respond(0, 503), Wait)
			if a = r.want(r.call.Timer(a.Until), StartAttempt); !a.Fresh {
				t.Error("a later attempt may meet another dead connection")
			}
		}
		r.want(r.respond(0, 503), Forward)
		r.ended(OK, Exhausted, 503, 4)
	})
	t.Run("once", func(t *testing.T) {
		r := newRig(t, none)
		r.begin(Request{})
		r.want(r.fails(t0, stale), StartAttempt)
		r.want(r.fails(t0, stale), Reject)
		r.ended(Reset, NotRetryable, 502, 2)
	})
	t.Run("not for an unsafe method that was sent", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{Method: Unsafe})
		r.want(r.fails(t0, stale), Reject)
		r.ended(Reset, ByMethod, 502, 1)
	})
	t.Run("for an unsafe method that was not", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{Method: Unsafe})
		r.want(r.fails(t0, fault{Failure{Kind: Reset, Reused: true}, false}), StartAttempt)
	})
	t.Run("not without the request body", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{Method: Idempotent, HasBody: true})
		r.call.BodyOverflowed()
		r.want(r.fails(t0, stale), Reject)
		r.ended(Reset, ByBody, 502, 1)
	})
	t.Run("not when a byte of the response came", func(t *testing.T) {
		r := newRig(t, none)
		r.begin(Request{})
		r.want(r.fails(t0, fault{Failure{Kind: Reset, Reused: true, ResponseStarted: true}, true}), Reject)
	})
	t.Run("is not held against the upstream", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) {
			b := policy.DefaultBreaker()
			b.ConsecutiveFailures = 1
			s.Breaker = &b
		})
		r.begin(Request{})
		r.want(r.fails(t0, stale), StartAttempt)
		r.want(r.respond(0, 200), Forward)
		if s := r.plan.Breaker.Status(t0); s.State != resilience.Closed {
			t.Errorf("the breaker is %v", s.State)
		}
	})
	t.Run("counts in the budget, yet does not ask it", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second} })
		for range 3 {
			r.begin(Request{})
			r.want(r.fails(t0, stale), StartAttempt)
		}
		r.want(r.respond(0, 503), Forward)
		r.ended(OK, ByBudget, 503, 2)
	})
}

// Each gate says no in one case; in all cases every later gate would say no too.
func TestRule09_TheFirstNoIsTheDecision(t *testing.T) {
	order := []struct {
		decision RetryDecision
		shut     func(s *policy.Settings, q *Request)
	}{
		{Exhausted, func(s *policy.Settings, _ *Request) {
			s.Retry.MaxRetries = 1
		}},
		{ByBody, func(_ *policy.Settings, q *Request) {
			q.HasBody = true // and overflows, below
		}},
		{ByDeadline, func(s *policy.Settings, _ *Request) {
			s.Timeouts.Overall = 120 * ms
		}},
		{ByBudget, func(s *policy.Settings, _ *Request) {
			s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second}
		}},
		{NotRetryable, func(s *policy.Settings, _ *Request) {
			s.Retry.On = policy.Of(policy.RateLimited)
		}},
		{ByMethod, func(_ *policy.Settings, q *Request) {
			q.Method = Unsafe
		}},
	}
	for shut := range order {
		want := order[shut].decision
		t.Run(want.String(), func(t *testing.T) {
			q := Request{Method: Idempotent}
			r := newRig(t, func(s *policy.Settings) {
				for _, gate := range order[:shut+1] {
					gate.shut(s, &q)
				}
			})
			// The first response is retried whatever happens, so that budget and retries are used up.
			first := Request{Method: Safe}
			first.HasBody = q.HasBody
			r.begin(first)
			again := r.nextAttempt(r.respond(0, 429))
			r.call.request = q
			if q.HasBody {
				r.call.BodyOverflowed()
			}
			r.want(r.head(again, Response{Status: 503, GRPCStatus: -1}), Forward)
			r.ended(OK, want, 503, 2)
		})
	}
}

func TestRule09_Decisions(t *testing.T) {
	tests := map[string]struct {
		change   func(*policy.Settings)
		q        Request
		status   int
		do       Do
		decision RetryDecision
	}{
		"good":                                    {nil, Request{}, 200, Forward, NotNeeded},
		"the caller's own fault is an answer":     {nil, Request{}, 404, Forward, NotNeeded},
		"a failure nobody asked to retry":         {func(s *policy.Settings) { s.Retry.On = 0 }, Request{}, 500, Forward, NotRetryable},
		"501 is no ServerError":                   {nil, Request{}, 501, Forward, NotRetryable},
		"retries switched off":                    {func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, Request{}, 503, Forward, NotRetryable},
		"a code on the list":                      {func(s *policy.Settings) { s.Retry.StatusCodes = []policy.StatusRange{{From: 404, To: 404}} }, Request{}, 404, Wait, 0},
		"a code beside the list":                  {func(s *policy.Settings) { s.Retry.StatusCodes = []policy.StatusRange{{From: 404, To: 404}} }, Request{}, 405, Forward, NotNeeded},
		"gateway error":                           {on(policy.GatewayError), Request{}, 504, Wait, 0},
		"500 is no gateway error":                 {on(policy.GatewayError), Request{}, 500, Forward, NotRetryable},
		"conflict":                                {on(policy.Conflict), Request{}, 409, Wait, 0},
		"rate limited":                            {on(policy.RateLimited), Request{}, 429, Wait, 0},
		"POST is not repeated":                    {nil, Request{Method: Unsafe}, 503, Forward, ByMethod},
		"a key alone does not help":               {nil, Request{Method: Unsafe, Keyed: true}, 503, Forward, ByMethod},
		"a key where keys count":                  {gate(policy.IdempotentOrKeyed), Request{Method: Unsafe, Keyed: true}, 503, Wait, 0},
		"no key where keys count":                 {gate(policy.IdempotentOrKeyed), Request{Method: Unsafe}, 503, Forward, ByMethod},
		"any method where the user says so":       {gate(policy.AnyMethod), Request{Method: Unsafe}, 503, Wait, 0},
		"PUT where only safe methods are allowed": {gate(policy.SafeMethods), Request{Method: Idempotent}, 503, Forward, ByMethod},
		"GET where only safe methods are allowed": {gate(policy.SafeMethods), Request{Method: Safe}, 503, Wait, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.change)
			r.begin(tc.q)
			r.want(r.respond(ms, tc.status), tc.do)
			if tc.do == Forward {
				r.ended(OK, tc.decision, tc.status, 1)
			}
		})
	}
}

func on(c policy.Condition) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.On = policy.Of(c) }
}

func gate(i policy.Idempotency) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.Idempotency = i }
}

// What would fail in the same way again is not retried, though nothing has been sent.
func TestRule09_WhatIsNeverRetried(t *testing.T) {
	for _, kind := range []Kind{TLSFailed, ProxyRefused} {
		r := newRig(t, on(policy.ConnectFailure))
		r.begin(Request{})
		r.want(r.fails(t0, fault{Failure{Kind: kind}, false}), Reject)
		r.ended(kind, NotRetryable, 502, 1)
	}
}

// Of the statuses of gRPC some are the server's fault and the others the caller's.
func TestRule09_WhoseFaultAGRPCStatusIs(t *testing.T) {
	servers := []codes.Code{codes.Unknown, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unavailable, codes.DataLoss}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		if got := FailedGRPC(int(c)); got != slices.Contains(servers, c) {
			t.Errorf("%v is the server's: %v", c, got)
		}
	}
}

func TestRule09_ConditionsOfResponses(t *testing.T) {
	tests := map[string]struct {
		change func(*policy.Settings)
		r      Response
		do     Do
	}{
		"Retry-After on an error":        {on(policy.RetryAfterPresent), Response{Status: 418, HasRetryAfter: true, GRPCStatus: -1}, Wait},
		"Retry-After on a good response": {on(policy.RetryAfterPresent), Response{Status: 202, HasRetryAfter: true, GRPCStatus: -1}, Forward},
		"when a limit starts anew":       {on(policy.RetryAfterPresent), Response{Status: 429, HasRetryAfter: true, OfLimit: true, GRPCStatus: -1}, Forward},
		"a header that was asked for":    {on(policy.Conflict), Response{Status: 200, HeaderMatched: true, GRPCStatus: -1}, Wait},
		"a gRPC status": {
			func(s *policy.Settings) { s.Retry.GRPCStatuses = []policy.GRPCStatus{14} }, Response{Status: 200, GRPCStatus: 14}, Wait,
		},
		"another gRPC status": {
			func(s *policy.Settings) { s.Retry.GRPCStatuses = []policy.GRPCStatus{14} }, Response{Status: 200, GRPCStatus: 13}, Forward,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.change)
			r.begin(Request{})
			r.want(r.head(t0, tc.r), tc.do)
		})
	}
}

func TestRule09_BudgetIsTakenWhenTheRetryStarts(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second} })
	r.begin(Request{})
	a := r.want(r.respond(0, 503), Wait)
	if !r.plan.Budget.Start(at(ms)) { // another call is faster
		t.Fatal("the wait took the budget")
	}
	r.want(r.call.Timer(a.Until), ForwardKept)
	r.ended(OK, ByBudget, 503, 1)
}

func TestOverrides(t *testing.T) {
	slow := policy.Backoff{Strategy: policy.Fixed, Initial: time.Second, Jitter: policy.JitterNone}
	change := func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.ServerError)
		s.Timeouts.Overall = time.Hour
		s.Retry.Overrides = []policy.RetryOverride{
			{On: policy.Of(policy.PerTryTimeout), MaxRetries: 3, Backoff: slow},
			{StatusCodes: []policy.StatusRange{{From: 500, To: 500}}, MaxRetries: 0, Backoff: slow},
			{On: policy.Of(policy.RateLimited, policy.ServerError), MaxRetries: 1, Backoff: slow},
			{GRPCStatuses: []policy.GRPCStatus{8}, MaxRetries: 1, Backoff: slow},
		}
	}
	t.Run("a cause has its own limit and backoff, also when only the override names it", func(t *testing.T) {
		r := newRig(t, change)
		r.begin(Request{})
		now := t0
		for range 3 {
			a := r.fails(now, timedOut)
			if now = r.nextAttempt(a); a.Until.Sub(t0)%time.Second != 0 {
				t.Errorf("the retry comes at %v", a.Until)
			}
		}
		r.want(r.fails(now, timedOut), Reject)
		r.ended(AttemptTimeout, Exhausted, 504, 4)
	})
	t.Run("zero never retries", func(t *testing.T) {
		r := newRig(t, change)
		r.begin(Request{})
		r.want(r.respond(0, 500), Forward)
		r.ended(OK, NotRetryable, 500, 1)
	})
	t.Run("retries for other causes count", func(t *testing.T) {
		r := newRig(t, change)
		r.begin(Request{})
		again := r.nextAttempt(r.fails(t0, timedOut))
		r.want(r.head(again, Response{Status: 503, GRPCStatus: -1}), Forward)
		r.ended(OK, Exhausted, 503, 2)
	})
	t.Run("a gRPC status has its own", func(t *testing.T) {
		r := newRig(t, change)
		r.begin(Request{})
		r.nextAttempt(r.head(t0, Response{Status: 200, GRPCStatus: 8}))
	})
}

// A name that cannot be found is a cause of its own, and one of those for which nothing could be connected to; either asks for a retry, whatever
// the method, since nothing was sent.
func TestRule07_ANameThatCannotBeFoundIsRetried(t *testing.T) {
	for name, tc := range map[string]struct {
		on   policy.Conditions
		want bool
	}{
		"DNSFailure": {policy.Of(policy.DNSFailure), true}, "ConnectFailure": {policy.Of(policy.ConnectFailure), true},
		"neither": {policy.Of(policy.Reset, policy.ServerError, policy.PerTryTimeout), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) { s.Retry.On = tc.on })
			r.begin(Request{Method: Unsafe})
			a := r.fails(at(ms), fault{Failure{Kind: DNSFailed}, false})
			if retried := a.Do != Reject; retried != tc.want {
				t.Errorf("retried: %v", retried)
			}
		})
	}
}
