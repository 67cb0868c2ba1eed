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

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func middle() float64 { return 0.5 } // no jitter either way

func testBreaker(change func(*policy.Breaker)) (*Breaker, *policy.Breaker) {
	cfg := policy.DefaultBreaker()
	if change != nil {
		change(&cfg)
	}
	return NewBreaker(&cfg, t0, middle), &cfg
}

// do makes one whole attempt at now and reports whether it was permitted.
func do(b *Breaker, now time.Time, failed bool) bool {
	p, ok := b.Allow(now)
	if ok {
		b.Done(now, p, Result{Failed: failed})
	}
	return ok
}

func TestRule22_BreakerLife(t *testing.T) {
	type step struct {
		after  time.Duration // since t0
		failed bool
		passes bool
		then   State // as shown right after the step
	}
	tests := map[string]struct {
		change func(*policy.Breaker)
		steps  []step
	}{
		"opens at the fifth consecutive failure and not before": {
			func(b *policy.Breaker) { b.ConsecutiveFailures = 5 },
			[]step{
				{0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed},
				{0, false, true, Closed}, // a success starts the count again
				{0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Open},
				{0, false, false, Open}, {10*time.Second - 1, false, false, Open},
			},
		},
		"closes after a good probe": {
			func(b *policy.Breaker) { b.ConsecutiveFailures = 1 },
			[]step{{0, true, true, Open}, {10 * time.Second, false, true, Closed}, {10 * time.Second, false, true, Closed}},
		},
		"needs successesToClose good probes": {
			func(b *policy.Breaker) { b.ConsecutiveFailures, b.SuccessesToClose = 1, 3 },
			[]step{
				{0, true, true, Open}, {10 * time.Second, false, true, HalfOpen}, {10 * time.Second, false, true, HalfOpen},
				{10 * time.Second, false, true, Closed},
			},
		},
		"doubles the open time after every failed probe, up to the maximum, and forgets it when it closes": {
			func(b *policy.Breaker) { b.ConsecutiveFailures, b.OpenMaxDuration = 1, 30*time.Second },
			[]step{
				{0, true, true, Open},
				{10 * time.Second, true, true, Open},     // 20 s
				{30*time.Second - 1, true, false, Open},  //
				{30 * time.Second, true, true, Open},     // 30 s, not 40 s
				{60*time.Second - 1, true, false, Open},  //
				{60 * time.Second, true, true, Open},     // 30 s again
				{90 * time.Second, false, true, Closed},  //
				{90 * time.Second, true, true, Open},     // 10 s
				{100*time.Second - 1, true, false, Open}, //
				{100 * time.Second, false, true, Closed}, //
			},
		},
		"a maximum below the duration does not shorten it": {
			func(b *policy.Breaker) { b.ConsecutiveFailures, b.OpenMaxDuration = 1, time.Second },
			[]step{{0, true, true, Open}, {10*time.Second - 1, false, false, Open}, {10 * time.Second, false, true, Closed}},
		},
		"opens on the error rate once there are enough calls": {
			func(b *policy.Breaker) {
				b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 4, Window: 10 * time.Second}
			},
			[]step{
				{0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed},
				{0, false, true, Open}, // the fourth call, three of four failed
			},
		},
		"an error rate below the limit keeps it closed": {
			func(b *policy.Breaker) {
				b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 4, Window: 10 * time.Second}
			},
			[]step{
				{0, false, true, Closed}, {0, false, true, Closed}, {0, false, true, Closed}, {0, true, true, Closed},
				{0, true, true, Closed}, {0, true, true, Open}, // 3 of 6
			},
		},
		"old failures leave the window": {
			func(b *policy.Breaker) {
				b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 4, Window: 10 * time.Second}
			},
			[]step{
				{0, true, true, Closed}, {0, true, true, Closed}, {0, true, true, Closed},
				{11 * time.Second, true, true, Closed}, {11 * time.Second, true, true, Closed}, {11 * time.Second, true, true, Closed},
				{11 * time.Second, true, true, Open},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b, _ := testBreaker(tc.change)
			for i, s := range tc.steps {
				now := t0.Add(s.after)
				if got := do(b, now, s.failed); got != s.passes {
					t.Fatalf("step %d: permitted = %v, want %v", i, got, s.passes)
				}
				if got := b.Status(now).State; got != s.then {
					t.Fatalf("step %d: state %v, want %v", i, got, s.then)
				}
			}
		})
	}
}

func TestRule22_SlowCallsOpen(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.SlowCalls = &policy.SlowCalls{Threshold: time.Second, Percent: 80, MinimumRequests: 5, Window: 10 * time.Second}
	})
	for i, took := range []time.Duration{time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second} {
		p, ok := b.Allow(t0)
		if !ok {
			t.Fatalf("call %d refused", i)
		}
		b.Done(t0, p, Result{Took: took})
	}
	p, _ := b.Allow(t0)
	b.Done(t0, p, Result{Took: 2 * time.Second})
	if s := b.Status(t0); s.State != Open || s.Opened != 1 {
		t.Errorf("4 of 5 calls were slow: %+v, want open", s)
	}
	p, ok := b.Allow(t0.Add(10 * time.Second))
	if !ok {
		t.Fatal("no probe after the open time")
	}
	b.Done(t0.Add(12*time.Second), p, Result{Took: 2 * time.Second})
	if s := b.Status(t0.Add(12 * time.Second)); s.State != Open {
		t.Errorf("a slow probe left the breaker %v, want open", s.State)
	}
}

func TestRule22_OpenTimeIsJitteredEitherWay(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 8 * time.Second, 0.5: 10 * time.Second, 0.75: 11 * time.Second} {
		cfg := policy.DefaultBreaker()
		cfg.ConsecutiveFailures = 1
		b := NewBreaker(&cfg, t0, func() float64 { return random })
		do(b, t0, true)
		if got := b.Status(t0).Until.Sub(t0); got != want {
			t.Errorf("random %v: open for %v, want %v", random, got, want)
		}
	}
}

func TestRule22_OldAttemptsHaveNoSay(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })
	var old []Permit
	for range 4 {
		p, _ := b.Allow(t0)
		old = append(old, p)
	}
	do(b, t0, true)
	do(b, t0, true) // opens
	b.Done(t0, old[0], Result{})
	if s := b.Status(t0).State; s != Open {
		t.Fatalf("an attempt from before closed the breaker: %v", s)
	}
	half := t0.Add(10 * time.Second)
	probe, ok := b.Allow(half)
	if !ok {
		t.Fatal("no probe")
	}
	b.Done(half, old[1], Result{Failed: true})
	b.Done(half, old[2], Result{Failed: true})
	if s := b.Status(half).State; s != HalfOpen {
		t.Fatalf("attempts from before opened the breaker again: %v", s)
	}
	b.Cancel(old[3])
	if _, ok := b.Allow(half); ok {
		t.Fatal("an attempt from before freed the place of the probe")
	}
	b.Done(half, probe, Result{})
	if s := b.Status(half).State; s != Closed {
		t.Errorf("after a good probe: %v", s)
	}
}

func TestRule22_CancelledProbeFreesItsPlace(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
	do(b, t0, true)
	half := t0.Add(10 * time.Second)
	p, _ := b.Allow(half)
	if _, ok := b.Allow(half); ok {
		t.Fatal("two probes at once, want one")
	}
	b.Cancel(p)
	if !do(b, half, false) {
		t.Fatal("the place of a cancelled probe was not given to another")
	}
	if s := b.Status(half).State; s != Closed {
		t.Errorf("after a good probe: %v", s)
	}
}

func TestRule22_SurvivesEditsElsewhere(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures = 1
		b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 4, Window: 10 * time.Second}
		b.FailureStatus = []policy.StatusRange{{From: 500, To: 503}}
	})
	do(b, t0, true)
	same := *cfg
	rate := *cfg.ErrorRate // equal, elsewhere in memory
	same.ErrorRate = &rate
	same.FailureGRPC = slices.Clone(cfg.FailureGRPC)
	same.FailureStatus = slices.Clone(cfg.FailureStatus)
	b.Reconfigure(&same)
	if s := b.Status(t0).State; s != Open {
		t.Fatalf("the same block changed the state to %v", s)
	}
	do(b, t0.Add(cfg.OpenDuration), true) // the probe
	same.ConsecutiveFailures = 2
	b.Reconfigure(&same)
	if again := twiceFailed(b, t0); again != cfg.OpenDuration {
		t.Errorf("after an edit it opens for %v, want a new start", again)
	}
	changes := map[string]func(*policy.Breaker){
		"trigger": func(b *policy.Breaker) { b.ConsecutiveFailures = 3 },
		"error rate": func(b *policy.Breaker) {
			b.ErrorRate = &policy.ErrorRate{Percent: 60, MinimumRequests: 4, Window: time.Second}
		},
		"slow calls": func(b *policy.Breaker) { b.SlowCalls = &policy.SlowCalls{Threshold: 1, Percent: 1, Window: 1} },
		"failures":   func(b *policy.Breaker) { b.FailureOn = policy.Of(policy.Reset) },
		"statuses":   func(b *policy.Breaker) { b.FailureStatus = []policy.StatusRange{{From: 404, To: 404}} },
		"grpc":       func(b *policy.Breaker) { b.FailureGRPC = []policy.GRPCStatus{1} },
	}
	for name, change := range changes {
		b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
		do(b, t0, true)
		next := *cfg
		change(&next)
		b.Reconfigure(&next)
		if s := b.Status(t0).State; s != Closed {
			t.Errorf("%s changed: %v, want a new start", name, s)
		}
	}
}

// twiceFailed makes two attempts that fail, and returns for how long the breaker is open then.
func twiceFailed(b *Breaker, now time.Time) time.Duration {
	do(b, now, true)
	do(b, now, true)
	return b.Status(now).Until.Sub(now)
}

// Rule 22: "State is exact under concurrency (race-tested)".
func TestRule22_ProbesAreExactUnderConcurrency(t *testing.T) {
	const probes, workers, rounds = 3, 16, 200
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.Probes, b.SuccessesToClose = 1, probes, 1000
		b.OpenMaxDuration = b.OpenDuration
	})
	do(b, t0, true)
	now := t0
	for round := range rounds {
		now = now.Add(20 * time.Second)
		var inside, most, passed atomic.Int64
		var wg sync.WaitGroup
		release := make(chan struct{})
		var asked sync.WaitGroup
		asked.Add(workers)
		for range workers {
			wg.Go(func() {
				p, ok := b.Allow(now)
				if ok {
					passed.Add(1)
					n := inside.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
				}
				asked.Done()
				<-release // nobody is done before all have asked: exactly the probes got in
				if ok {
					inside.Add(-1)
					b.Done(now, p, Result{Failed: true})
				}
			})
		}
		asked.Wait()
		close(release)
		wg.Wait()
		if passed.Load() != probes || most.Load() != probes {
			t.Fatalf("round %d: %d probes passed, %d at once, want %d", round, passed.Load(), most.Load(), probes)
		}
		if s := b.Status(now).State; s != Open {
			t.Fatalf("round %d: %v after failed probes, want open", round, s)
		}
	}
}

// A crowd hammers a breaker with random results, cancellations and edits; the number of probes inside never passes the limit. None is overdue, however
// far the clock, which each worker moves, goes on while one of them is not run.
func TestRule22_ProbesStayBoundedInACrowd(t *testing.T) {
	const probes, workers, attempts, step = 2, 8, 5000, 50 * time.Microsecond
	b, cfg := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.Probes, b.SuccessesToClose = 2, probes, 3
		b.OpenDuration, b.OpenMaxDuration = time.Millisecond, 4*time.Millisecond
	})
	b.SetAttemptLimit(workers * attempts * step)
	var clock atomic.Int64
	var mu sync.Mutex
	inside := map[uint64]int{} // by half-open period
	enter := func(epoch uint64, n int) int {
		mu.Lock()
		defer mu.Unlock()
		inside[epoch] += n
		return inside[epoch]
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for range attempts {
				now := t0.Add(time.Duration(clock.Add(int64(step))))
				p, ok := b.Allow(now)
				if !ok {
					continue
				}
				probe := stateOf(p.epoch) == HalfOpen
				if probe {
					if n := enter(p.epoch, 1); n > probes {
						t.Errorf("%d probes at once", n)
					}
					enter(p.epoch, -1) // before it goes back: the next may come in from there on
				}
				switch random.IntN(3) {
				case 0:
					b.Cancel(p)
				default:
					b.Done(now, p, Result{Failed: random.IntN(2) == 0})
				}
				if random.IntN(500) == 0 {
					b.Reconfigure(cfg)
				}
			}
		})
	}
	wg.Wait()
	if s := b.Status(t0.Add(time.Hour)); s.Opened == 0 {
		t.Error("the breaker never opened: the test shows nothing")
	}
}

// What is known of an attempt after its permit went back counts while the breaker is closed, and not otherwise.
func TestRule22_ALateResultCounts(t *testing.T) {
	cfg := policy.DefaultBreaker()
	cfg.ConsecutiveFailures = 2
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := NewBreaker(&cfg, now, func() float64 { return 0.5 })
	b.Note(now, Result{Failed: true})
	b.Note(now, Result{Failed: true})
	if s := b.Status(now); s.State != Open || s.Opened != 1 {
		t.Fatalf("%+v", s)
	}
	b.Note(now, Result{Failed: true})
	b.Note(now, Result{Failed: true})
	half := now.Add(cfg.OpenDuration * 2)
	p, ok := b.Allow(half)
	if !ok || !p.Probe() {
		t.Fatalf("no probe: %v", p)
	}
	b.Note(half, Result{Failed: true})
	b.Note(half, Result{Failed: true})
	b.Done(half, p, Result{})
	if s := b.Status(half); s.State != Closed || s.Opened != 1 {
		t.Errorf("%+v", s)
	}
	if p, _ := b.Allow(half); p.Probe() {
		t.Error("a closed breaker probes")
	}
}
