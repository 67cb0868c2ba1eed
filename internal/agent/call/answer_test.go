package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule10_TheLastRealResponseIsTheAnswer(t *testing.T) {
	t.Run("the last of several", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		a := r.respond(0, 500)
		if !a.Keep {
			t.Error("the first response is not kept")
		}
		r.nextAttempt(a)
		a = r.respond(200*ms, 502)
		if !a.Keep {
			t.Error("the second response is not kept")
		}
		again := r.nextAttempt(a)
		r.want(r.fails(again, refused), ForwardKept)
		r.ended(OK, Exhausted, 502, 3)
	})
	t.Run("the one just received", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
		r.begin(Request{})
		again := r.nextAttempt(r.respond(0, 500))
		if a := r.want(r.head(again, Response{Status: 503, GRPCStatus: -1}), Forward); a.Keep {
			t.Error("a response that is forwarded is to be kept")
		}
		r.ended(OK, Exhausted, 503, 2)
	})
	t.Run("none", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
		r.begin(Request{})
		r.want(r.fails(t0, refused), Reject)
		r.ended(ConnectFailed, NotRetryable, 502, 1)
	})
}

func TestRule11_NothingIsRetriedAfterAForwardedInterim(t *testing.T) {
	for name, after := range map[string]func(*rig) Action{
		"a response": func(r *rig) Action { return r.respond(0, 503) },
		"a reset":    func(r *rig) Action { return r.fails(t0, sentLost) },
		"a reset said to be one of a reused connection": func(r *rig) Action { return r.fails(t0, stale) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.begin(Request{})
			r.call.Interim(t0, r.id)
			if a := after(r); a.Do != Forward && a.Do != Reject {
				t.Errorf("%+v after an interim response", a)
			}
			if f := r.call.Outcome().Decision; f != NotRetryable {
				t.Errorf("decision %v", f)
			}
		})
	}
	t.Run("nor after the end", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.respond(0, 200), Forward)
		before := r.call.Outcome()
		for name, a := range map[string]Action{
			"response": r.respond(0, 503), "failure": r.fails(t0, refused), "timer": r.call.Timer(at(time.Hour)),
			"client": r.call.ClientGone(t0), "reject": r.rejects(t0, Overflow), "dispatch": r.placed(t0),
			"written": r.written(t0),
		} {
			if a != (Action{}) {
				t.Errorf("%s after the end: %+v", name, a)
			}
		}
		if r.call.Outcome() != before {
			t.Errorf("the outcome changed to %+v", r.call.Outcome())
		}
	})
}

func TestRule12_OwnRejectionsAreNotRetriedNorUpstreamFailures(t *testing.T) {
	everything := func(s *policy.Settings) {
		s.Retry.On = ^policy.Conditions(0)
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.FailureOn = 1, ^policy.Conditions(0)
		s.Breaker = &b
	}
	for _, kind := range []Kind{Overflow, RateLimited, Internal} {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRig(t, everything)
			r.want(r.start(t0, Request{}), StartAttempt)
			r.want(r.rejects(t0, kind), Reject)
			r.ended(kind, Refused, kind.Status(), 1)
			if s := r.plan.Breaker.Status(t0); s.State != resilience.Closed {
				t.Errorf("the breaker is %v", s.State)
			}
		})
	}
	t.Run("the queue overflows at a retry", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		a := r.want(r.respond(0, 503), Wait)
		r.want(r.call.Timer(a.Until), StartAttempt)
		r.want(r.rejects(a.Until, Overflow), ForwardKept)
		r.ended(OK, Refused, 503, 2)
	})
}

func TestRule33_ACallKeepsThePolicyItBeganWith(t *testing.T) {
	r := newRig(t, nil)
	r.begin(Request{})
	next := policy.Defaults()
	next.Retry.MaxRetries = 0
	old := r.plan
	r.plan = planFor(&next) // what a new call gets: another plan, in another place
	r.call.plan, r.call.own = &old, &old
	r.nextAttempt(r.respond(0, 503))
	r.want(r.respond(0, 200), Forward)
	r.ended(OK, Recovered, 200, 2)
}
