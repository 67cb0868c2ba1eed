package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule18_BodyThatCannotBeReplayed(t *testing.T) {
	put := Request{Method: Idempotent, HasBody: true}
	t.Run("overflowed", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(put)
		if !r.call.NeedsReplay() {
			t.Fatal("the body is not kept")
		}
		r.call.BodyOverflowed()
		if r.call.NeedsReplay() {
			t.Error("the body is kept after it overflowed")
		}
		r.want(r.respond(0, 503), Forward)
		r.ended(OK, ByBody, 503, 1)
	})
	t.Run("kept", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(put)
		r.nextAttempt(r.respond(0, 503))
		if !r.call.NeedsReplay() {
			t.Error("the body is not kept for another retry")
		}
		r.want(r.respond(0, 200), Forward)
		r.ended(OK, Recovered, 200, 2)
	})
	t.Run("not kept, and not needed when the attempt was unsent", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{Method: Unsafe, HasBody: true})
		if r.call.NeedsReplay() {
			t.Error("the body of a POST that is never repeated is kept")
		}
		r.want(r.fails(t0, refused), Wait)
	})
	t.Run("not kept, sent, and then an unsent attempt", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{Method: Unsafe, HasBody: true})
		r.want(r.fails(t0, fault{Failure{Kind: RefusedStream, PeerUnprocessed: true}, true}), Reject)
		r.ended(RefusedStream, ByBody, 502, 1)
	})
	t.Run("sent in an earlier attempt", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(put)
		again := r.nextAttempt(r.respond(0, 503))
		r.call.BodyOverflowed()
		r.want(r.fails(again, refused), ForwardKept)
		r.ended(OK, ByBody, 503, 2)
	})
}

func TestNeedsReplay(t *testing.T) {
	put := Request{Method: Idempotent, HasBody: true}
	tests := map[string]struct {
		change func(*policy.Settings)
		q      Request
		want   bool
	}{
		"PUT":        {nil, put, true},
		"no body":    {nil, Request{Method: Idempotent}, false},
		"POST":       {nil, Request{Method: Unsafe, HasBody: true}, false},
		"keyed POST": {gate(policy.IdempotentOrKeyed), Request{Method: Unsafe, HasBody: true, Keyed: true}, true},
		"overflowed": {nil, put, false},
	}
	for name, tc := range tests {
		r := newRig(t, tc.change)
		r.begin(tc.q)
		if name == "overflowed" {
			r.call.BodyOverflowed()
		}
		if got := r.call.NeedsReplay(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRule20_EarlyResponseEndsRetrying(t *testing.T) {
	r := newRig(t, nil)
	r.begin(Request{Method: Idempotent, HasBody: true})
	r.want(r.head(t0, Response{Status: 503, GRPCStatus: -1, RequestUnfinished: true}), Forward)
	r.ended(OK, ByBody, 503, 1)
}

func TestRule21_RetryBeforeContinueNeedsNoBuffer(t *testing.T) {
	r := newRig(t, gateAny)
	r.begin(Request{Method: Unsafe, HasBody: true}) // Expect: 100-continue; the client holds its body back
	r.nextAttempt(r.respond(0, 503))
	r.want(r.respond(0, 200), Forward)
	r.ended(OK, Recovered, 200, 2)
}

func gateAny(s *policy.Settings) { s.Retry.Idempotency = policy.AnyMethod }

// breaking has a breaker that opens at the second consecutive failure.
func breaking(s *policy.Settings) {
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 2
	s.Breaker = &b
}

func TestRule22_OpenBreakerRejects(t *testing.T) {
	r := newRig(t, breaking)
	r.begin(Request{})
	again := r.nextAttempt(r.respond(0, 503))
	// The second failure opens; the retry after it is refused, and the last real response is the answer.
	a := r.want(r.head(again, Response{Status: 500, GRPCStatus: -1}), Wait)
	r.want(r.call.Timer(a.Until), ForwardKept)
	r.ended(OK, Refused, 500, 2)

	r.want(r.start(at(time.Second), Request{}), Reject)
	r.ended(BreakerOpen, Refused, 503, 0)

	// One probe at a time.
	half := at(time.Minute)
	var probe, other Call
	r.want(probe.Begin(half, &r.plan, Request{}), StartAttempt)
	r.want(other.Begin(half, &r.plan, Request{}), Reject)
	r.want(probe.ResponseHead(half, 0, Response{Status: 200, GRPCStatus: -1}), Forward)
	r.want(other.Begin(half, &r.plan, Request{}), StartAttempt)
}

func TestRule22_RetryIntoAnOpenBreakerWithoutAResponse(t *testing.T) {
	r := newRig(t, breaking)
	r.begin(Request{})
	r.nextAttempt(r.fails(t0, refused))
	a := r.want(r.fails(at(200*ms), refused), Wait)
	r.want(r.call.Timer(a.Until), Reject)
	r.ended(BreakerOpen, Refused, 503, 2)
}

func TestRule22_WithoutAWaitTheResponseIsForwarded(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { breaking(s); s.Retry.Backoff.Initial = 0 })
	r.begin(Request{})
	r.want(r.respond(0, 503), StartAttempt)
	if a := r.want(r.respond(0, 502), Forward); a.Keep {
		t.Error("a response that is forwarded is to be kept")
	}
	r.ended(OK, Refused, 502, 2)
}

func TestRule22_WhatCountsAsFailure(t *testing.T) {
	tests := map[string]struct {
		attempt func(*rig) Action
		counts  bool
	}{
		"503":                    {func(r *rig) Action { return r.respond(0, 503) }, true},
		"501":                    {func(r *rig) Action { return r.respond(0, 501) }, false},
		"429":                    {func(r *rig) Action { return r.respond(0, 429) }, false},
		"refused":                {func(r *rig) Action { return r.fails(t0, refused) }, true},
		"reset":                  {func(r *rig) Action { return r.fails(t0, sentLost) }, true},
		"nonsense":               {func(r *rig) Action { return r.fails(t0, fault{Failure{Kind: BadResponse}, true}) }, true},
		"attempt timeout":        {func(r *rig) Action { return r.fails(t0, timedOut) }, true},
		"gRPC UNAVAILABLE":       {func(r *rig) Action { return r.head(t0, Response{Status: 200, GRPCStatus: 14}) }, true},
		"gRPC NOT_FOUND":         {func(r *rig) Action { return r.head(t0, Response{Status: 200, GRPCStatus: 5}) }, false},
		"the policy's deadline":  {func(r *rig) Action { return r.call.Timer(at(10 * time.Second)) }, true},
		"a dead kept connection": {func(r *rig) Action { return r.fails(t0, stale) }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures = 1 })
			r.begin(Request{})
			tc.attempt(r)
			if opened := r.plan.Breaker.Status(t0).Opened == 1; opened != tc.counts {
				t.Errorf("counts: %v, want %v", opened, tc.counts)
			}
		})
	}
	t.Run("the deadline in a retry", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures = 1 })
		r.begin(Request{})
		r.nextAttempt(r.respond(9*time.Second, 429))
		r.want(r.call.Timer(at(10*time.Second)), ForwardKept)
		if r.plan.Breaker.Status(at(10*time.Second)).State != resilience.Closed {
			t.Error("an attempt that had no time opened the breaker")
		}
	})
	t.Run("the client's own deadline", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures = 1 })
		r.begin(Request{Timeout: ms})
		r.want(r.call.Timer(at(ms)), Reject)
		if r.plan.Breaker.Status(at(ms)).State != resilience.Closed {
			t.Error("an impatient client opened the breaker")
		}
	})
}

// circuitBreaker.failures.statusCodes counts besides what circuitBreaker.failures.when means, whether or not it is retried.
func TestRule22_StatusCodesThatCount(t *testing.T) {
	listed := []policy.StatusRange{{From: 404, To: 404}, {From: 420, To: 429}}
	for status, counts := range map[int]bool{200: false, 403: false, 404: true, 405: false, 420: true, 429: true, 430: false, 503: true} {
		for name, retried := range map[string]policy.Conditions{"retried": policy.Of(policy.RateLimited), "not retried": 0} {
			r := newRig(t, func(s *policy.Settings) {
				breaking(s)
				s.Breaker.ConsecutiveFailures, s.Breaker.FailureStatus = 1, listed
				s.Retry.On = retried
			})
			r.begin(Request{})
			r.respond(0, status)
			if opened := r.plan.Breaker.Status(t0).Opened == 1; opened != counts {
				t.Errorf("%d, %s: counts %v, want %v", status, name, opened, counts)
			}
		}
	}
	r := newRig(t, func(s *policy.Settings) {
		breaking(s)
		s.Breaker.ConsecutiveFailures, s.Breaker.FailureStatus, s.Breaker.FailureOn = 1, listed, 0
	})
	r.begin(Request{})
	if r.respond(0, 503); r.plan.Breaker.Status(t0).Opened != 0 {
		t.Error("a status counts that is not on the list, nor meant by a cause")
	}
}

// Every permit goes back however a call ends: afterwards exactly one probe passes.
func TestRule22_PermitsComeBack(t *testing.T) {
	half := at(time.Minute)
	ends := map[string]func(c *Call){
		"client gone in the queue":   func(c *Call) { c.ClientGone(half) },
		"client gone in the attempt": func(c *Call) { c.Placed(half, 0, endpoint); c.ClientGone(half) },
		"pool overflow":              func(c *Call) { c.LocalReject(half, 0, Overflow) },
		"deadline in the queue":      func(c *Call) { c.Timer(half.Add(time.Hour)) },
		"client's own deadline":      func(c *Call) { c.Placed(half, 0, endpoint); c.Timer(half.Add(time.Hour)) },
		"stale, then client gone":    func(c *Call) { c.AttemptFailed(half, 0, stale.Failure); c.ClientGone(half) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, breaking)
			for range 2 {
				p, _ := r.plan.Breaker.Allow(t0)
				r.plan.Breaker.Done(t0, p, resilience.Result{Failed: true})
			}
			var c Call
			r.want(c.Begin(half, &r.plan, Request{Timeout: time.Second}), StartAttempt)
			end(&c)
			if !c.Ended() {
				t.Fatal("the call goes on")
			}
			p, ok := r.plan.Breaker.Allow(half)
			if _, second := r.plan.Breaker.Allow(half); !ok || second {
				t.Errorf("a probe passes: %v, a second: %v", ok, second)
			}
			r.plan.Breaker.Cancel(p)
		})
	}
	t.Run("a budget used up", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) {
			breaking(s)
			s.Retry.Budget = policy.Budget{MinPerSecond: 1, Window: time.Second}
			s.Breaker.ConsecutiveFailures, s.Breaker.OpenDuration, s.Breaker.OpenJitterPercent = 1, 50*ms, 0
		})
		r.begin(Request{})
		a := r.want(r.respond(0, 503), Wait) // opens for 50 ms, waits 100 ms
		r.plan.Budget.Start(t0)
		r.want(r.call.Timer(a.Until), ForwardKept)
		r.ended(OK, ByBudget, 503, 1)
		if _, ok := r.plan.Breaker.Allow(a.Until); !ok {
			t.Error("the permit of the retry that never started was not given back")
		}
	})
}

func TestRule26_LocalAnswers(t *testing.T) {
	tests := map[Kind]struct {
		status int
		reason string
	}{
		BreakerOpen: {503, "circuit_open"}, Overflow: {503, "pool_overflow"}, RateLimited: {429, "rate_limited"},
		Deadline: {504, "deadline"}, AttemptTimeout: {504, "per_try_timeout"},
		ConnectFailed: {502, "connect_failure"}, ConnectTimeout: {502, "connect_failure"}, DNSFailed: {502, "dns"},
		Reset: {502, "reset"}, RefusedStream: {502, "reset"}, BadResponse: {502, "protocol"}, ProxyRefused: {502, "proxy"}, TLSFailed: {502, "tls"},
		Injected: {502, "fault_injected"}, // or as the fault says
		Internal: {500, "internal"}, OK: {0, ""}, ClientGone: {0, ""}, Superseded: {0, ""},
	}
	for kind := range KindCount {
		want, known := tests[kind]
		if !known || kind.Status() != want.status || kind.Reason() != want.reason {
			t.Errorf("%v is answered %d %q, want %+v", kind, kind.Status(), kind.Reason(), want)
		}
		o := Outcome{Kind: kind}
		if o.Local() != (want.status != 0) {
			t.Errorf("%v: local %v", kind, o.Local())
		}
	}
}

func TestNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for kind := range KindCount {
		if kind.String() == "" || seen[kind.String()] {
			t.Errorf("kind %d is called %q", kind, kind)
		}
		seen[kind.String()] = true
	}
	seen = map[string]bool{}
	for decision := range RetryDecisionCount {
		if decision.String() == "" || seen[decision.String()] {
			t.Errorf("decision %d is called %q", decision, decision)
		}
		seen[decision.String()] = true
	}
}
