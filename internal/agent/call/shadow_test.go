package call

import (
	"math/rand/v2"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// shadowing is a rig that does not retry, with a shadow that has what change makes of the policy.
func shadowing(t *testing.T, change func(*policy.Settings)) *rig {
	r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
	other := newRig(t, change)
	r.plan.Shadow = &other.plan
	return r
}

func (r *rig) differs(do Do, start Start) Divergence {
	r.t.Helper()
	d, ok := r.call.Divergence()
	if !ok || d.Do != do || d.Start != start {
		r.t.Fatalf("%+v, %v; want do %d, %v", d, ok, do, start)
	}
	return d
}

func TestShadowTellsWhatWouldHaveBeenDone(t *testing.T) {
	t.Run("a retry", func(t *testing.T) {
		r := shadowing(t, nil)
		r.begin(Request{})
		r.want(r.respond(ms, 503), Forward)
		if d := r.differs(Wait, First); d.After != ms {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a timeout", func(t *testing.T) {
		r := shadowing(t, func(s *policy.Settings) { s.Timeouts.Overall = time.Second })
		r.begin(Request{})
		r.want(r.respond(2*time.Second, 200), Forward)
		if d := r.differs(Reject, First); d.Outcome.Kind != Deadline {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a rejection by its own breaker", func(t *testing.T) {
		r := shadowing(t, func(s *policy.Settings) { breaking(s); s.Breaker.ConsecutiveFailures = 1; s.Retry.MaxRetries = 0 })
		r.begin(Request{})
		r.respond(0, 503)
		if _, ok := r.call.Divergence(); ok {
			t.Fatal("both forward it")
		}
		r.want(r.start(t0, Request{}), StartAttempt)
		if d := r.differs(Reject, First); d.Outcome.Kind != BreakerOpen {
			t.Errorf("%+v", d)
		}
	})
	t.Run("another decision", func(t *testing.T) {
		r := shadowing(t, gate(policy.SafeMethods))
		r.begin(Request{Method: Idempotent})
		r.respond(0, 503)
		if d := r.differs(Forward, First); d.Outcome.Decision != ByMethod {
			t.Errorf("%+v", d)
		}
	})
	t.Run("not another draw of the backoff", func(t *testing.T) {
		jitter := func(s *policy.Settings) { s.Retry.Backoff.Jitter = policy.JitterFull }
		r := newRig(t, jitter)
		other := newRig(t, jitter)
		other.plan.Random = func() float64 { return 0.1 }
		r.plan.Shadow = &other.plan
		r.begin(Request{})
		r.nextAttempt(r.respond(0, 503))
		r.want(r.respond(time.Second, 200), Forward)
		if d, ok := r.call.Divergence(); ok {
			t.Errorf("%+v", d)
		}
	})
	t.Run("nothing else", func(t *testing.T) {
		r := shadowing(t, nil)
		r.begin(Request{})
		r.want(r.respond(0, 200), Forward)
		if d, ok := r.call.Divergence(); ok {
			t.Errorf("%+v", d)
		}
	})
	t.Run("the first time only", func(t *testing.T) {
		r := shadowing(t, func(s *policy.Settings) { s.Timeouts.PerTry = time.Second })
		r.begin(Request{})
		r.want(r.call.Timer(at(2*time.Second)), Continue)
		r.want(r.call.ClientGone(at(3*time.Second)), Abort)
		r.differs(Wait, First)
	})
}

// A shadow under the same plan, with instruments of its own, never decides differently.
func TestShadowOfTheSamePlanNeverDiffers(t *testing.T) {
	for seed := range uint64(10) {
		plans := simPlans(seed, 6)
		for _, p := range plans {
			twin(&p.Plan, seed)
			p.endpoints = nil
		}
		w := newWorld(seed, plans, 30)
		for range 20_000 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if w.differ > 0 {
				t.Fatalf("seed %d: a shadow differs at step %d", seed, w.steps)
			}
		}
	}
}

// twin gives a plan a shadow that has all that it has, not shared.
func twin(p *Plan, seed uint64) {
	clone := func() Plan {
		q := newSimPlan(p.Settings, rand.New(rand.NewPCG(seed, 9))).Plan
		q.Shadow, q.Random = nil, func() float64 { return 0.5 }
		if q.Fallback != nil && q.Fallback.Plan != nil {
			q.Fallback.Plan.Random = q.Random
		}
		return q
	}
	*p = clone()
	q := clone()
	q.Gates, q.Alike.Gates = nil, 1<<len(p.Gates)-1
	p.Shadow = &q
}

// What a shadow would have, and the call has not, is its own: a key, a body, the budget that its retries take, and a breaker that is not alike.
func TestShadowsHaveTheirOwn(t *testing.T) {
	would := func(r *rig) Would {
		d, _ := r.call.Divergence()
		return d.Would
	}
	keyed := func(s *policy.Settings) { s.Retry.Idempotency = policy.IdempotentOrKeyed }
	for key, want := range map[bool]Would{true: WouldRetry, false: WouldSame} {
		r := shadowing(t, keyed)
		r.begin(Request{Method: Unsafe, ShadowKeyed: key, Keyed: !key})
		r.respond(ms, 503)
		if got := would(r); got != want {
			t.Errorf("keyed for the shadow: %v, which would %v", key, got)
		}
	}
	t.Run("a body", func(t *testing.T) {
		r := shadowing(t, gate(policy.AnyMethod))
		r.begin(Request{Method: Unsafe, HasBody: true})
		r.sending(t0)
		r.call.BytesAccepted(r.id)
		r.call.BodyOverflowed() // since the call does not keep it
		r.written(t0)
		if r.respond(ms, 503); would(r) != WouldRetry {
			t.Errorf("it would %v", would(r))
		}
	})
	t.Run("a budget", func(t *testing.T) {
		r := shadowing(t, nil)
		r.plan.Shadow.Budget = resilience.NewBudget(policy.Budget{MinPerSecond: 1, Window: time.Second}, t0)
		for i, want := range []Would{WouldRetry, WouldSame} {
			r.begin(Request{})
			r.respond(ms, 503)
			r.finished(at(ms), End{GRPCStatus: -1})
			if got := would(r); got != want {
				t.Errorf("call %d: it would %v, want %v", i, got, want)
			}
		}
	})
	t.Run("a breaker", func(t *testing.T) {
		for alike, want := range map[bool]Would{true: WouldSame, false: WouldLetIn} {
			r := newRig(t, func(s *policy.Settings) { noRetries(s); opensAtOnce(s) })
			other := newRig(t, noRetries)
			r.plan.Shadow = &other.plan
			other.plan.Alike.Breaker = alike
			answered(ms, 503)(r)
			r.want(r.start(at(ms), Request{}), Reject)
			if got := would(r); got != want {
				t.Errorf("alike %v: it would %v, want %v", alike, got, want)
			}
		}
	})
}
