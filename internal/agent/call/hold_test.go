package call

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// endpointRig is a rig whose attempts hold the permits of breakers that open at the first failure, and the breakers of two endpoints.
func endpointRig(t *testing.T, change func(*policy.Settings)) (r *rig, first, second *resilience.Breaker) {
	t.Helper()
	r = newRig(t, func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.OpenJitterPercent, b.Probes, b.FailureOn = 1, 0, 1, policy.Of(policy.Reset, policy.ServerError, policy.ConnectFailure)
		s.Breaker = &b
		if change != nil {
			change(s)
		}
	})
	r.plan.Breaker = nil
	half := func() float64 { return 0.5 }
	return r, resilience.NewBreaker(r.settings.Breaker, t0, half), resilience.NewBreaker(r.settings.Breaker, t0, half)
}

// holds has the attempt started last hold a permit of a closed breaker.
func (r *rig) holds(b *resilience.Breaker) {
	r.t.Helper()
	p, ok := b.Allow(t0)
	if !ok {
		r.t.Fatal("no permit")
	}
	r.call.Hold(r.id, b, p)
}

func openings(b *resilience.Breaker) uint64 { return b.Status(t0).Opened }

// What becomes of each attempt counts at the endpoint that it was placed at.
func TestRule22_AnAttemptCountsAtItsEndpoint(t *testing.T) {
	r, first, second := endpointRig(t, nil)
	r.want(r.start(t0, Request{}), StartAttempt)
	r.holds(first)
	r.placed(t0)
	r.want(r.fails(t0, sentLost), Wait)
	if openings(first) != 1 || openings(second) != 0 {
		t.Fatalf("opened %d, %d", openings(first), openings(second))
	}
	r.want(r.call.Timer(at(100*ms)), StartAttempt)
	r.holds(second)
	r.placed(at(100 * ms))
	r.respond(100*ms, 500)
	if openings(first) != 1 || openings(second) != 1 {
		t.Errorf("opened %d, %d", openings(first), openings(second))
	}
}

// An endpoint's breaker rejects no call: it has been asked already.
func TestRule22_NoCallIsRejectedForAnEndpoint(t *testing.T) {
	r, first, _ := endpointRig(t, nil)
	p, _ := first.Allow(t0)
	first.Done(t0, p, resilience.Result{Failed: true})
	r.want(r.start(t0, Request{}), StartAttempt)
	r.call.Hold(r.id, nil, resilience.Permit{}) // the only endpoint is out
	r.placed(t0)
	r.want(r.respond(0, 200), Forward)
	r.finished(t0, End{GRPCStatus: -1})
	r.ended(OK, NotNeeded, 200, 1)
}

// A permit that another one replaces, or that comes too late, goes back without a result.
func TestRule22_PermitsThatAreNotNeededGoBack(t *testing.T) {
	probing := func(t *testing.T) (*rig, *resilience.Breaker, func() bool) {
		r, b, _ := endpointRig(t, nil)
		p, _ := b.Allow(t0)
		b.Done(t0, p, resilience.Result{Failed: true})
		half := at(r.settings.Breaker.OpenDuration)
		r.want(r.start(half, Request{}), StartAttempt)
		p, ok := b.Allow(half)
		if !ok {
			t.Fatal("no probe")
		}
		r.call.Hold(r.id, b, p)
		return r, b, func() bool { _, free := b.Allow(half); return free }
	}
	t.Run("replaced", func(t *testing.T) {
		r, _, free := probing(t)
		if r.call.Hold(r.id, nil, resilience.Permit{}); !free() {
			t.Error("the probe's place is taken")
		}
	})
	t.Run("the client leaves", func(t *testing.T) {
		r, _, free := probing(t)
		if r.call.ClientGone(at(r.settings.Breaker.OpenDuration)); !free() {
			t.Error("the probe's place is taken")
		}
	})
	t.Run("the attempt is over", func(t *testing.T) {
		r, b, free := probing(t)
		r.call.ClientGone(at(r.settings.Breaker.OpenDuration))
		p, _ := b.Allow(at(r.settings.Breaker.OpenDuration))
		if r.call.Hold(r.id, b, p); !free() {
			t.Error("the probe's place is taken")
		}
	})
	t.Run("a dead connection is replaced", func(t *testing.T) {
		r, _, free := probing(t)
		now := at(r.settings.Breaker.OpenDuration)
		r.placed(now)
		if r.want(r.fails(now, stale), StartAttempt); !free() {
			t.Error("the probe's place is taken")
		}
	})
}
