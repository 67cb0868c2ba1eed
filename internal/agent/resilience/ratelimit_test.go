package resilience

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// enter has a call that does not wait ask.
func enter(l *RateLimit, at time.Duration) Entry { return l.Gate().Enter(t0.Add(at), &Waiter{}) }

func TestRule24_ABucketHoldsItsBurst(t *testing.T) {
	l := NewRateLimit(policy.RateLimit{Requests: 10, Per: time.Second, Burst: 3}, t0)
	for i := range 3 {
		if e := enter(l, 0); e.Verdict != Pass {
			t.Fatalf("call %d of the burst: %+v", i, e)
		}
	}
	if e := enter(l, 0); e.Verdict != Refuse || e.RetryAfter != 100*time.Millisecond {
		t.Errorf("after the burst: %+v, want a refusal for 100ms", e)
	}
	if e := enter(l, 100*time.Millisecond-1); e.Verdict != Refuse || e.RetryAfter != 1 {
		t.Errorf("a moment too early: %+v", e)
	}
	if e := enter(l, 100*time.Millisecond); e.Verdict != Pass {
		t.Errorf("in time: %+v", e)
	}
	for i := range 3 {
		if e := enter(l, time.Hour); e.Verdict != Pass {
			t.Fatalf("call %d after a long pause: %+v", i, e)
		}
	}
	if e := enter(l, time.Hour); e.Verdict != Refuse {
		t.Error("a long pause fills more than the bucket")
	}
}

// A call that is refused because the queue is too long hears when it would not be.
func TestRule24_RetryAfterIsWhenACallWouldBeLetIn(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		every := time.Duration(1+random.IntN(50)) * time.Millisecond
		l := NewRateLimit(policy.RateLimit{Requests: 1, Per: every, Burst: 1 + random.IntN(5), MaxWait: time.Duration(random.IntN(5)) * every}, t0)
		g, at := l.Gate(), time.Duration(random.IntN(1000))
		var waiting []*Waiter
		for {
			w := &Waiter{}
			e := g.Enter(t0.Add(at), w)
			if e.Verdict == Park {
				waiting = append(waiting, w)
			}
			if e.Verdict != Refuse {
				continue
			}
			then := at + e.RetryAfter
			for _, w := range waiting { // who are served meanwhile
				if w.armed <= int64(then) {
					g.Enter(t0.Add(time.Duration(w.armed)), w)
				}
			}
			if e := g.Enter(t0.Add(then-1), &Waiter{}); e.Verdict != Refuse {
				t.Fatalf("seed %d: let in before that: %+v", seed, e)
			}
			if e := g.Enter(t0.Add(then), &Waiter{}); e.Verdict == Refuse {
				t.Fatalf("seed %d: not let in then: %+v", seed, e)
			}
			break
		}
	}
}

// A rate is never exceeded for being no whole number of nanoseconds, nor a bucket for being too large to count.
func TestRule24_ExtremeLimitsAreNotExceeded(t *testing.T) {
	for name, cfg := range map[string]policy.RateLimit{
		"thirds":      {Requests: 3, Per: time.Second, Burst: 1},
		"the fastest": {Requests: 10_000_000, Per: 10 * time.Millisecond, Burst: 10_000_000},
		"the slowest": {Requests: 1, Per: 24 * time.Hour, Burst: 10_000_000, MaxWait: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewRateLimit(cfg, t0)
			if got := time.Duration(l.rate.Load().every) * time.Duration(cfg.Requests); got < cfg.Per {
				t.Errorf("%d calls take %v, less than %v", cfg.Requests, got, cfg.Per)
			}
			for range 1000 {
				e := enter(l, 0)
				if e.Verdict == Refuse && (e.RetryAfter <= 0 || e.RetryAfter > cfg.Per) {
					t.Fatalf("%+v", e)
				}
			}
			if full := l.full.Load(); full < 0 || full > 2*never {
				t.Errorf("overflow: %d", full)
			}
		})
	}
}

// withinRate fails if more calls started in any window than a limit lets.
func withinRate(t *testing.T, starts []time.Duration, every time.Duration, burst int) {
	t.Helper()
	slices.Sort(starts)
	// N starts in t: N - burst <= t / every, that is, start[j] - j × every never falls by more than (burst - 1) × every below its highest before.
	var highest time.Duration
	for j, s := range starts {
		lead := s - time.Duration(j)*every
		if j == 0 || lead > highest {
			highest = lead
		}
		if lead < highest-time.Duration(burst-1)*every {
			t.Fatalf("start %d at %v is one more than a burst of %d and one every %v let", j, s, burst, every)
		}
	}
}

// However many calls ask at once and wait, from many pods, no window has more starts than it may; and none is lost while calls wait.
func TestRule24_ExactUnderConcurrency(t *testing.T) {
	const pods, workers, each, burst, every = 4, 8, 2000, 7, time.Microsecond
	l := NewRateLimit(policy.RateLimit{Requests: 1, Per: every, Burst: burst, MaxWait: 20 * every}, t0)
	var clock atomic.Int64
	gates := make([]*RateGate, pods)
	for i := range gates {
		gates[i] = l.Gate()
	}
	var mu sync.Mutex
	var starts []time.Duration
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			var own []time.Duration
			for range each {
				if at, ok := passOrLeave(gates[i%pods], &clock, random); ok {
					own = append(own, at)
				}
			}
			mu.Lock()
			starts = append(starts, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	withinRate(t, starts, every, burst)
	if n := l.Waiting(); n != 0 || l.line.turn != nil {
		t.Errorf("%d are left", n)
	}
	if len(starts) < workers*each/10 {
		t.Errorf("%d of %d calls started: the test shows little", len(starts), workers*each)
	}
}

// passOrLeave has a call ask until it passes, is refused or has enough of it. Whoever looks at the clock moves it on.
func passOrLeave(g *RateGate, clock *atomic.Int64, random *rand.Rand) (at time.Duration, ok bool) {
	var woken atomic.Bool
	w := &Waiter{Wake: func() { woken.Store(true) }}
	for {
		now := time.Duration(clock.Add(random.Int64N(400)))
		e := g.Enter(t0.Add(now), w)
		switch e.Verdict {
		case Pass:
			return now, true
		case Refuse:
			return 0, false
		case Park, Wait:
		}
		if random.IntN(20) == 0 {
			g.Leave(t0.Add(now), w, Result{GivenUp: true})
			return 0, false
		}
		for !woken.Swap(false) && t0.Add(time.Duration(clock.Add(random.Int64N(100)))).Before(e.Until) {
		}
	}
}

// A pod that asks all the time leaves another, which asks seldom, its turn.
func TestRule24_PodsTakeTurns(t *testing.T) {
	const every = 10 * time.Millisecond
	l := NewRateLimit(policy.RateLimit{Requests: 1, Per: every, Burst: 1, MaxWait: time.Second}, t0)
	greedy, modest := l.Gate(), l.Gate()
	for range 100 {
		greedy.Enter(t0, &Waiter{})
	}
	if e := greedy.Enter(t0, &Waiter{}); e.Verdict != Park || e.Expected.Sub(t0) < 90*every {
		t.Fatalf("the greedy pod's last call: %+v", e)
	}
	if e := modest.Enter(t0, &Waiter{}); e.Verdict != Park || e.Expected.Sub(t0) > 2*every {
		t.Errorf("the other pod's first call: %+v, want it to be the second one", e)
	}
}

// One that does not come when its turn has come holds nobody up.
func TestRule24_ALateCallHoldsNobodyUp(t *testing.T) {
	const every = 10 * time.Millisecond
	l := NewRateLimit(policy.RateLimit{Requests: 1, Per: every, Burst: 1, MaxWait: time.Second}, t0)
	g, late, other := l.Gate(), &Waiter{}, &Waiter{}
	g.Enter(t0, &Waiter{})
	g.Enter(t0, late)
	e := g.Enter(t0, other)
	if e = g.Enter(e.Until, other); e.Verdict != Pass {
		t.Fatalf("the second one, in its time: %+v", e)
	}
	if e = g.Enter(t0.Add(2*every), late); e.Verdict != Park || !e.Until.Equal(t0.Add(3*every)) {
		t.Errorf("the late one: %+v, want it to wait for the next token", e)
	}
}

// An edit keeps what was taken, so that it is no way to have more calls start.
func TestRule24_AnEditKeepsWhatWasTaken(t *testing.T) {
	slow := policy.RateLimit{Requests: 10, Per: time.Second, Burst: 10}
	fast := policy.RateLimit{Requests: 1000, Per: time.Second, Burst: 10}
	l := NewRateLimit(slow, t0)
	for range 10 {
		enter(l, 0)
	}
	l.Reconfigure(slow, t0)
	if e := enter(l, 0); e.Verdict != Refuse || e.RetryAfter != 100*time.Millisecond {
		t.Errorf("after an edit that changes nothing: %+v", e)
	}
	l.Reconfigure(fast, t0)
	if e := enter(l, 0); e.Verdict != Refuse || e.RetryAfter > time.Millisecond+1 {
		t.Errorf("after an edit to a rate of 1000: %+v", e)
	}
	l.Reconfigure(slow, t0)
	if e := enter(l, 0); e.Verdict != Refuse || e.RetryAfter < 100*time.Millisecond {
		t.Errorf("and back: %+v", e)
	}
}

// A higher rate wakes who would wait too long.
func TestRule24_AHigherRateWakesWhoWaits(t *testing.T) {
	l := NewRateLimit(policy.RateLimit{Requests: 1, Per: time.Second, Burst: 1, MaxWait: time.Minute}, t0)
	g, woken := l.Gate(), 0
	w := &Waiter{Wake: func() { woken++ }}
	g.Enter(t0, &Waiter{})
	g.Enter(t0, w)
	l.Reconfigure(policy.RateLimit{Requests: 1000, Per: time.Second, Burst: 1, MaxWait: time.Minute}, t0)
	if woken != 1 {
		t.Fatalf("woken %d times", woken)
	}
	if e := g.Enter(t0, w); e.Verdict != Park || e.Until.Sub(t0) > 2*time.Millisecond {
		t.Errorf("%+v", e)
	}
}

func TestScaled(t *testing.T) {
	for _, tc := range []struct{ d, by, from, want int64 }{
		{0, 5, 3, 0}, {3, 5, 3, 5}, {1, 5, 3, 2}, {never, never, 1, never}, {never, 1, never, 1}, {1 << 60, 1 << 20, 1 << 21, 1 << 59},
	} {
		if got := scaled(tc.d, tc.by, tc.from); got != tc.want {
			t.Errorf("scaled(%d, %d, %d) = %d, want %d", tc.d, tc.by, tc.from, got, tc.want)
		}
	}
}

func BenchmarkRateLimitPasses(b *testing.B) {
	l := NewRateLimit(policy.RateLimit{Requests: 10_000_000, Per: 10 * time.Millisecond, Burst: 10_000_000}, t0)
	g, w, now := l.Gate(), &Waiter{}, t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if e := g.Enter(now, w); e.Verdict != Pass {
			b.Fatal(e)
		}
		g.Leave(now, w, Result{})
	}
}

// Who comes when a token does, and others wait for it, waits behind them.
func TestRule24_NobodyPassesBeforeThoseWhoWait(t *testing.T) {
	l := NewRateLimit(policy.RateLimit{Requests: 1, Per: time.Second, Burst: 1, MaxWait: time.Minute}, t0)
	g, waits, comes := l.Gate(), &Waiter{}, &Waiter{}
	g.Enter(t0, &Waiter{})
	if e := g.Enter(t0, waits); e.Verdict != Park {
		t.Fatalf("%+v", e)
	}
	now := t0.Add(time.Second)
	if e := g.Enter(now, comes); e.Verdict != Park || !e.Expected.Equal(now.Add(time.Second)) {
		t.Errorf("who comes: %+v", e)
	}
	if e := g.Enter(now, waits); e.Verdict != Pass {
		t.Errorf("who has waited: %+v", e)
	}
}

// A change of the rate is seen by who has read the one before and has not taken its token yet, also where the bucket is as full as it was.
func TestRule24_AChangeIsSeenByWhoIsTakingAToken(t *testing.T) {
	cfg := policy.RateLimit{Requests: 1, Per: time.Second, Burst: 5}
	l := NewRateLimit(cfg, t0)
	before := l.full.Load()
	cfg.Burst = 1
	if l.Reconfigure(cfg, t0); l.full.Load() == before {
		t.Error("it does not differ from before")
	}
	s := shared(1, 1)
	own := NewSharedRateLimit(s, t0)
	before = own.full.Load()
	s.Share.Rate = 2
	if own.SetShare(s, t0); own.full.Load() == before {
		t.Error("another share does not differ from the one before")
	}
}
