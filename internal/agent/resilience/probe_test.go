package resilience

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A server that takes the probe and never answers, with a client that waits for ever, keeps nobody else out for ever.
func TestRule22_AHungProbeDoesNotKeepOthersOut(t *testing.T) {
	for name, tc := range map[string]struct{ perTry, limit time.Duration }{
		"the open time":        {0, 10 * time.Second},
		"a longer perTry":      {30 * time.Second, 30 * time.Second},
		"perTry below opening": {time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
			b.SetAttemptLimit(tc.perTry)
			do(b, t0, true)
			half := t0.Add(10 * time.Second)
			if _, ok := b.Allow(half); !ok {
				t.Fatal("no probe after the open time")
			}
			if _, ok := b.Allow(half.Add(tc.limit)); ok {
				t.Error("the place of a probe under way was given away")
			}
			late := half.Add(tc.limit + 1)
			if !do(b, late, false) {
				t.Fatalf("shut %v after a probe that hangs began", tc.limit)
			}
			if s := b.Status(late).State; s != Closed {
				t.Errorf("after a good probe: %v", s)
			}
		})
	}
}

// A breaker whose probe takes longer than it ever stays open has not been forgotten: it waits for the probe, and then for another one.
func TestRule22_AProbeMayTakeLongerThanTheBreakerStaysOpen(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 1, time.Second, time.Second
	})
	b.SetAttemptLimit(30 * time.Second)
	do(b, t0, true)
	half := t0.Add(time.Second)
	if _, ok := b.Allow(half); !ok {
		t.Fatal("no probe after the open time")
	}
	for after := time.Duration(0); after <= 30*time.Second; after += time.Second {
		if _, ok := b.Allow(half.Add(after)); ok {
			t.Fatalf("%v after a probe began another call passed", after)
		}
		if s := b.Status(half.Add(after)).State; s != HalfOpen {
			t.Fatalf("%v after a probe began: %v", after, s)
		}
	}
	late := half.Add(30*time.Second + 1)
	if _, ok := b.Allow(late); !ok {
		t.Error("an overdue probe keeps others out")
	}
	if _, ok := b.Allow(late); ok {
		t.Error("more than the probes pass")
	}
}

// What an overdue probe finds is as true as what another finds, while the state is the same: else an upstream that is always
// slower than a probe may be would never be let in again.
func TestRule22_AnOverdueProbeStillCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		failed bool
		want   State
	}{"good": {false, Closed}, "bad": {true, Open}} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
			do(b, t0, true)
			first, _ := b.Allow(t0.Add(10 * time.Second))
			late := t0.Add(25 * time.Second)
			second, ok := b.Allow(late)
			if !ok {
				t.Fatal("no second probe")
			}
			b.Done(late, first, Result{Failed: tc.failed})
			if s := b.Status(late).State; s != tc.want {
				t.Errorf("%v, want %v", s, tc.want)
			}
			b.Done(late, second, Result{Failed: !tc.failed})
			if s := b.Status(late).State; s != tc.want {
				t.Errorf("an attempt from before the change made it %v", s)
			}
		})
	}
}

// Callers that give up before a probe has an answer: each gives its place back at once, an overdue one none but its own.
func TestRule22_CancelledOverdueProbesFreeNothingElse(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
	do(b, t0, true)
	now := t0.Add(10 * time.Second)
	overdue, _ := b.Allow(now)
	now = now.Add(11 * time.Second)
	for range 5 {
		p, ok := b.Allow(now)
		if !ok {
			t.Fatal("a cancelled probe kept its place")
		}
		b.Cancel(p)
	}
	if _, ok := b.Allow(now); !ok {
		t.Fatal("no probe")
	}
	b.Cancel(overdue)
	if _, ok := b.Allow(now); ok {
		t.Error("the overdue probe gave back a place that it no longer had")
	}
}

// Rule 22 again, with probes that hang for good in every round: exactly as many pass as may.
func TestRule22_ProbesAreExactWhileOthersHang(t *testing.T) {
	const probes, workers, rounds = 3, 16, 200
	b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures, b.Probes, b.SuccessesToClose = 1, probes, 1000 })
	do(b, t0, true)
	now := t0.Add(10 * time.Second)
	var hung []Permit
	var mu sync.Mutex
	for round := range rounds {
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				if p, ok := b.Allow(now); ok {
					passed.Add(1)
					mu.Lock()
					hung = append(hung, p)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if passed.Load() != probes {
			t.Fatalf("round %d: %d probes passed, want %d", round, passed.Load(), probes)
		}
		now = now.Add(10*time.Second + 1)
	}
	for _, p := range hung[:len(hung)-probes] {
		b.Cancel(p)
	}
	if got := b.Status(now.Add(-1)); got.State != HalfOpen {
		t.Errorf("status %+v", got)
	}
}

func TestStatusSaysSinceWhen(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures, b.SuccessesToClose = 1, 2 })
	check := func(at time.Duration, want Status) {
		t.Helper()
		if got := b.Status(t0.Add(at)); got != want {
			t.Errorf("after %v: %+v, want %+v", at, got, want)
		}
	}
	half := t0.Add(11 * time.Second)
	check(0, Status{})
	do(b, t0.Add(time.Second), true)
	check(5*time.Second, Status{State: Open, Since: t0.Add(time.Second), Until: half, Opened: 1})
	check(12*time.Second, Status{State: HalfOpen, Since: half, Opened: 1})
	do(b, t0.Add(15*time.Second), false)
	check(20*time.Second, Status{State: HalfOpen, Since: half, Opened: 1})
	check(26*time.Second, Status{Opened: 1}) // nobody asks any more, so nobody is rejected
	p, _ := b.Allow(t0.Add(27 * time.Second))
	if _, ok := b.Allow(t0.Add(28 * time.Second)); ok {
		t.Error("a second probe passed")
	}
	check(28*time.Second, Status{State: HalfOpen, Since: half, Opened: 1})
	b.Done(t0.Add(30*time.Second), p, Result{})
	check(30*time.Second, Status{Opened: 1})
	for range 2 { // closed indeed: both pass
		if _, ok := b.Allow(t0.Add(40 * time.Second)); !ok {
			t.Error("it is not closed")
		}
	}
}

// What opened a breaker that nobody has asked for long is no longer known; a crowd that comes then is not turned away for it.
func TestABreakerThatNobodyAsksForgets(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })
	do(b, t0, true)
	do(b, t0, true)
	late := t0.Add(cfg.OpenDuration + 2*cfg.OpenMaxDuration)
	if _, ok := b.Allow(late.Add(-1)); !ok { // still the one probe
		t.Fatal("no probe")
	}
	if _, ok := b.Allow(late.Add(-1)); ok {
		t.Error("the open time was forgotten too early")
	}
	b, _ = testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })
	do(b, t0, true)
	do(b, t0, true)
	late = late.Add(1)
	for i := range 3 {
		if _, ok := b.Allow(late); !ok {
			t.Fatalf("call %d of a crowd was turned away", i)
		}
	}
	if s := b.Status(late); s != (Status{Opened: 1}) {
		t.Errorf("status %+v", s)
	}
}

// What was given up tells nothing of failures: it is none, and no sign that they are over.
func TestRule04_WhatIsGivenUpLeavesTheCountOfFailuresAlone(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures = 2
		b.ErrorRate = &policy.ErrorRate{Percent: 60, MinimumRequests: 100, Window: time.Minute}
	})
	do(b, t0, true)
	p, _ := b.Allow(t0)
	b.Done(t0, p, Result{GivenUp: true, Took: time.Hour})
	if s := b.Status(t0); s.State != Closed {
		t.Fatalf("status %+v: it counts as a failure", s)
	}
	do(b, t0, true)
	if s := b.Status(t0); s.State != Open {
		t.Errorf("status %+v: it counts as a success", s)
	}
}

// A breaker that has forgotten does not remember for how long it was open either.
func TestAForgottenOpenTimeDoesNotGrow(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures, b.OpenJitterPercent = 1, 0 })
	do(b, t0, true)
	late := t0.Add(cfg.OpenDuration + 2*cfg.OpenMaxDuration + 1)
	do(b, late, true)
	if s := b.Status(late); s.State != Open || s.Until != late.Add(cfg.OpenDuration) {
		t.Errorf("status %+v", s)
	}
	e := testEndpoints(2, nil)
	e.ejectAfter(t0, 0)
	e.call(t0.Add(10*time.Second), 0, true) // a probe, that has it out for twice as long
	if _, outFor := e.ejectAfter(t0.Add(time.Hour), 0); outFor != 10*time.Second {
		t.Errorf("an endpoint of which nothing was heard for long is out for %v", outFor)
	}
}
