package call

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

var always = policy.FallbackOn{CircuitOpen: true, RetriesExhausted: true, RateLimited: true}

func TestFallbackAnswersLocally(t *testing.T) {
	for name, tc := range map[string]struct {
		attempt func(*rig) Action
		cancel  AttemptSet
	}{
		"a response nobody retries": {func(r *rig) Action { return r.respond(0, 501) }, SetOf(0)},
		"a failure":                 {func(r *rig) Action { return r.fails(t0, sentLost) }, 0},
		"a response kept": {func(r *rig) Action {
			again := r.nextAttempt(r.respond(0, 503))
			return r.fails(again, sentLost)
		}, SetOf(0)},
		"the deadline": {func(r *rig) Action { return r.call.Timer(at(10 * time.Second)) }, SetOf(0)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, on(policy.ServerError))
			r.plan.Fallback = &Fallback{On: always, Status: 299}
			r.begin(Request{})
			if a := r.want(tc.attempt(r), Respond); a.Cancel != tc.cancel || a.Keep {
				t.Errorf("%+v", a)
			}
			if o := r.call.Outcome(); o.Status != 299 {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("not a good response", func(t *testing.T) {
		r := newRig(t, nil)
		r.plan.Fallback = &Fallback{On: always, Status: 299}
		r.begin(Request{})
		r.want(r.respond(0, 404), Forward)
	})
	t.Run("not with what says that a tunnel is made", func(t *testing.T) {
		for status, want := range map[int]Do{200: Reject, 299: Reject, 300: Respond, 503: Respond} {
			r := newRig(t, nil)
			r.plan.Fallback = &Fallback{On: always, Status: status}
			r.begin(Request{Method: Unsafe, Tunnel: true})
			r.want(r.fails(t0, sentLost), want)
		}
	})
	t.Run("not after an interim one", func(t *testing.T) {
		r := newRig(t, nil)
		r.plan.Fallback = &Fallback{On: always, Status: 299}
		r.begin(Request{})
		r.call.Interim(t0, 0)
		r.want(r.respond(0, 503), Forward)
	})
}

// falling is a rig with another route to fall back on.
func falling(t *testing.T, change func(*policy.Settings)) *rig {
	r := newRig(t, func(s *policy.Settings) {
		s.Retry.MaxRetries = 0
		if change != nil {
			change(s)
		}
	})
	other := policy.Defaults()
	other.Timeouts.PerTry = 3 * time.Second
	plan := planFor(&other)
	r.plan.Fallback = &Fallback{On: always, Plan: &plan}
	return r
}

func TestFallbackOnAnotherRoute(t *testing.T) {
	t.Run("under its own plan, in the time that is left", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{})
		a := r.want(r.respond(time.Second, 503), StartAttempt)
		if a.Route != 1 || a.Start != FallbackStart || !a.Keep || !a.Until.Equal(at(10*time.Second)) {
			t.Fatalf("%+v", a)
		}
		if a := r.placed(at(2 * time.Second)); !a.Until.Equal(at(5 * time.Second)) {
			t.Errorf("until %v", a.Until)
		}
		if a := r.want(r.respond(3*time.Second, 200), Forward); a.Cancel != SetOf(0) {
			t.Errorf("%+v", a)
		}
		r.ended(OK, Recovered, 200, 2)
		if o := r.call.Outcome(); o.Fallback != FellBackOnDestination {
			t.Errorf("%+v", o)
		}
	})
	t.Run("whose answer is worse", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{})
		r.want(r.respond(0, 503), StartAttempt)
		r.placed(t0)
		if a := r.want(r.respond(0, 502), Forward); a.Cancel != SetOf(0) {
			t.Errorf("%+v", a)
		}
		r.ended(OK, NotRetryable, 502, 2)
	})
	t.Run("which fails too", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{})
		r.want(r.respond(0, 503), StartAttempt)
		r.placed(t0)
		r.want(r.fails(t0, refused), ForwardKept)
		r.ended(OK, Exhausted, 503, 2)
	})
	t.Run("when the breaker is open", func(t *testing.T) {
		r := falling(t, func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures = 1 })
		r.begin(Request{})
		r.want(r.fails(t0, sentLost), StartAttempt)
		r.call.ClientGone(t0)
		if a := r.want(r.start(t0, Request{}), StartAttempt); a.Route != 1 || a.Start != FallbackStart {
			t.Errorf("%+v", a)
		}
		r.want(r.respond(0, 200), Forward)
		r.ended(OK, Recovered, 200, 1)
	})
	t.Run("not for what may have arrived and must not be repeated", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{Method: Unsafe})
		r.want(r.fails(t0, sentLost), Reject)
		r.ended(Reset, ByMethod, 502, 1)
	})
	t.Run("what was not processed falls back, whatever its method", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{Method: Unsafe})
		r.want(r.fails(t0, refused), StartAttempt)
	})
	t.Run("not after the deadline", func(t *testing.T) {
		r := falling(t, nil)
		r.begin(Request{})
		r.want(r.call.Timer(at(10*time.Second)), Reject)
	})
}

// A fallback applies in the cases that the policy lists, and the outcome says what the call has failed by.
func TestFallbackAppliesWhereItIsAskedFor(t *testing.T) {
	open := func(r *rig) {
		r.begin(Request{})
		r.respond(0, 503)
	}
	one := func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures, s.Retry.MaxRetries = 1, 1 }
	circuit, exhausted, limited := policy.FallbackOn{CircuitOpen: true}, policy.FallbackOn{RetriesExhausted: true}, policy.FallbackOn{RateLimited: true}
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		gates  []resilience.Entry
		before func(*rig)
		end    func(*rig) Action // after Begin
		on     []policy.FallbackOn
		kind   Kind
	}{
		"an open breaker": {
			change: one, before: open, end: func(*rig) Action { return Action{} }, on: []policy.FallbackOn{circuit}, kind: BreakerOpen,
		},
		"a breaker that has opened after an attempt": {
			change: one, end: func(r *rig) Action { r.placed(t0); return r.call.Timer(r.respond(0, 503).Until) },
			on: []policy.FallbackOn{circuit, exhausted}, kind: BreakerOpen,
		},
		"a response": {
			change: func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, end: func(r *rig) Action { r.placed(t0); return r.respond(0, 503) },
			on: []policy.FallbackOn{exhausted}, kind: OK,
		},
		"a failure": {
			change: func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, end: func(r *rig) Action { r.placed(t0); return r.fails(t0, refused) },
			on: []policy.FallbackOn{exhausted}, kind: ConnectFailed,
		},
		"a failure of what must not be repeated": {
			change: gate(policy.SafeMethods), end: func(r *rig) Action { r.placed(t0); return r.fails(t0, sentLost) }, on: []policy.FallbackOn{exhausted}, kind: Reset,
		},
		"the agent's own failure": {
			end: func(r *rig) Action { return r.rejects(t0, Internal) }, on: []policy.FallbackOn{exhausted}, kind: Internal,
		},
		"the deadline": {
			end: func(r *rig) Action { r.placed(t0); return r.call.Timer(at(10 * time.Second)) }, on: []policy.FallbackOn{exhausted}, kind: Deadline,
		},
		"the pool's queue": {
			end: func(r *rig) Action { return r.rejects(t0, Overflow) }, on: []policy.FallbackOn{limited}, kind: Overflow,
		},
		"a limit": {
			gates: []resilience.Entry{{Verdict: resilience.Refuse}}, end: func(*rig) Action { return Action{} }, on: []policy.FallbackOn{limited}, kind: RateLimited,
		},
		"the deadline at a limit": {
			gates: []resilience.Entry{{Verdict: resilience.Park}}, end: func(r *rig) Action { return r.call.Timer(at(10 * time.Second)) },
			on: []policy.FallbackOn{limited}, kind: Deadline,
		},
	} {
		for _, on := range []policy.FallbackOn{circuit, exhausted, limited} {
			t.Run(fmt.Sprintf("%s %+v", name, on), func(t *testing.T) {
				r := newRig(t, tc.change)
				if tc.gates != nil {
					r.plan.Gates = []Gate{&fakeGate{answers: tc.gates}}
				}
				if tc.before != nil {
					tc.before(r)
				}
				r.plan.Fallback = &Fallback{On: on, Status: 299, GRPCStatus: 5}
				a := r.start(t0, Request{Method: Idempotent, GRPC: true})
				if b := tc.end(r); b != (Action{}) {
					a = b
				}
				want := slices.Contains(tc.on, on)
				if (a.Do == Respond) != want {
					t.Fatalf("%+v, want the fallback: %v", a, want)
				}
				o := r.call.Outcome()
				if want && (o.Kind != tc.kind || o.Fallback != FellBackOnResponse || o.Status != 299 || o.GRPCStatus != 5) {
					t.Errorf("%+v", o)
				}
				if want && (o.Kind == OK && (o.Upstream != 503 || o.Reason() != "upstream_failure") || o.Kind != OK && o.Reason() != o.Kind.Reason()) {
					t.Errorf("reason %s of %+v", o.Reason(), o)
				}
			})
		}
	}
}

// Nothing follows an attempt on the fallback's route, so that its trailers are not waited for.
func TestFallbackAwaitsNoTrailers(t *testing.T) {
	r := falling(t, gate(policy.AnyMethod))
	r.plan.Fallback.Plan.Settings.Retry.GRPCStatuses = []policy.GRPCStatus{14}
	r.begin(rpc)
	r.want(r.fails(t0, refused), StartAttempt)
	r.placed(t0)
	r.want(r.head(at(ms), pending), Forward)
}

// Nor is it hedged there, or retried, whatever the plan of that route says of calls that are made to it.
func TestFallbackIsOneAttempt(t *testing.T) {
	r := falling(t, nil)
	r.plan.Fallback.Plan.Hedge = Hedge{After: 200 * ms, Max: 1}
	r.plan.Fallback.Plan.Settings.Retry.On = policy.Of(policy.Reset)
	r.begin(Request{})
	r.want(r.fails(t0, refused), StartAttempt)
	r.placed(t0)
	r.want(r.call.Timer(at(300*ms)), Continue)
	r.want(r.fails(at(400*ms), sentLost), Reject)
	r.ended(Reset, Exhausted, 502, 2)
}
