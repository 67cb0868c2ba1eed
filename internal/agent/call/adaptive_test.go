package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// adapting is a rig whose attempts may take as long as those before, 5 s at most.
func adapting(t *testing.T, change func(*policy.Settings)) *rig {
	r := newRig(t, change)
	r.settings.Timeouts.PerTry = time.Second // which the adaptive timeout stands in for
	r.plan.Adaptive = resilience.NewAdaptiveTimeout(policy.Adaptive{Min: ms, Max: 5 * time.Second, Window: 20})
	return r
}

// learn has so many calls succeed.
func (r *rig) learn(n int, took time.Duration) {
	r.t.Helper()
	for range n {
		r.begin(Request{})
		r.want(r.respond(took, 200), Forward)
		r.finished(at(time.Hour), End{GRPCStatus: -1}) // the body is no part of it
	}
}

func TestRule06_AttemptsMayTakeWhatSuccessfulOnesTook(t *testing.T) {
	r := adapting(t, nil)
	r.learn(19, 100*ms)
	r.want(r.start(t0, Request{}), StartAttempt)
	if a := r.placed(t0); !a.Until.Equal(at(5*time.Second)) || r.call.Limit(0) != LimitAdaptive || r.call.TimeLeft(0) != 5*time.Second {
		t.Errorf("%+v by %d after 19 attempts", a, r.call.Limit(0))
	}
	r.call.ClientGone(at(time.Second)) // which says nothing
	r.learn(1, 100*ms)
	r.want(r.start(t0, Request{}), StartAttempt)
	if a := r.placed(t0); !a.Until.Equal(at(100 * ms)) {
		t.Errorf("%+v after 20 attempts", a)
	}
	r.sending(at(60 * ms))
	if a := r.written(at(time.Second)); !a.Until.Equal(at(1040 * ms)) {
		t.Errorf("%+v: connecting has taken 60 ms, and sending does not count", a)
	}
}

func TestRule06_WhatSaysNothingOfSuccess(t *testing.T) {
	for name, attempt := range map[string]func(*rig){
		"a failed response": func(r *rig) { r.respond(ms, 503) },
		"a failure":         func(r *rig) { r.fails(at(ms), refused) },
		"a client that left": func(r *rig) {
			r.call.ClientGone(at(ms))
		},
		"an answer before the request was sent": func(r *rig) { r.sending(t0); r.respond(ms, 200) },
	} {
		t.Run(name, func(t *testing.T) {
			r := adapting(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
			for range 40 {
				r.begin(Request{})
				attempt(r)
			}
			if n := r.plan.Adaptive.Samples(); n != 0 {
				t.Errorf("%d samples", n)
			}
		})
	}
}

// Twenty attempts in a row that nothing but the adaptive timeout has ended say that what is known is out of date; a longer wait for anything else does not.
func TestRule06_OnlyItsOwnTimeoutsMakeItForget(t *testing.T) {
	r := adapting(t, func(s *policy.Settings) { s.Timeouts.ResponseHeader = 50 * ms; s.Retry.MaxRetries = 0 })
	timeOut := func() {
		for range 20 {
			r.begin(Request{})
			r.want(r.call.Timer(r.written(t0).Until), Reject)
		}
	}
	r.learn(20, 100*ms)
	timeOut()
	if r.plan.Adaptive.Samples() != 20 {
		t.Fatal("responseHeader has ended them")
	}
	r.settings.Timeouts.ResponseHeader = 0
	timeOut()
	if r.plan.Adaptive.Samples() != 0 {
		t.Error("it has not forgotten")
	}
}

func TestRule06_AHeadThatIsHeldBackHasCome(t *testing.T) {
	r := adapting(t, gate(policy.AnyMethod))
	r.settings.Retry.GRPCStatuses = []policy.GRPCStatus{14}
	for _, end := range []func(){
		func() { r.want(r.call.MessageBegun(at(time.Second), r.id), Forward) },
		func() { r.want(r.head(at(time.Second), Response{Status: 200, GRPCStatus: 0}), Forward) },
	} {
		r.plan.Adaptive = resilience.NewAdaptiveTimeout(policy.Adaptive{Max: 5 * time.Second, Window: 20})
		for range 20 {
			r.begin(Request{Method: Unsafe, GRPC: true})
			r.want(r.head(at(100*ms), Response{Status: 200, GRPCStatus: -1, GRPCPending: true}), AwaitTrailers)
			end()
			r.finished(at(time.Hour), End{GRPCStatus: 0})
		}
		if got := r.plan.Adaptive.Limit(); got != 100*ms {
			t.Errorf("%v", got)
		}
	}
}

// An attempt that another limit has ended has not exceeded the adaptive one, which stays as it is.
func TestRule06_WhatEndsSoonerHasNotExceededIt(t *testing.T) {
	r := adapting(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
	r.learn(20, 100*ms)
	for range 40 {
		r.begin(Request{})
		r.fails(at(50*ms), timedOut) // as by timeouts.idle
	}
	if got := r.plan.Adaptive.Limit(); got != 100*ms {
		t.Errorf("an attempt may take %v", got)
	}
}
