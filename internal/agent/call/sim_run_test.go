package call

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One goroutine drives many interleaved calls through random schedules and faults; each Action is judged by the rules.
func TestSimulator(t *testing.T) {
	worlds, steps := 40, 50_000
	if testing.Short() {
		worlds = 4
	}
	var ended [KindCount][RetryDecisionCount]int
	for seed := range uint64(worlds) {
		w := newWorld(seed, simPlans(seed, 6), 50)
		for range steps {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if err := w.drain(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkPermits(t, w.plans, w.now(time.Hour))
		for k := range ended {
			for f := range ended[k] {
				ended[k][f] += w.ended[k][f]
			}
		}
	}
	for f := range RetryDecisionCount {
		n := 0
		for k := range ended {
			n += ended[k][f]
		}
		if n == 0 {
			t.Errorf("no call ended with fate %v: the simulator shows nothing of it", f)
		}
	}
	for k := range KindCount {
		n := 0
		for _, m := range ended[k] {
			n += m
		}
		if n == 0 {
			t.Errorf("no call ended with kind %v: the simulator shows nothing of it", k)
		}
	}
}

// Several workers share breakers and budgets, as an agent's connections do. Run with -race.
func TestSimulatorWithSharedInstruments(t *testing.T) {
	plans := simPlans(77, 4)
	var clock atomic.Int64
	var wg sync.WaitGroup
	worlds := make([]*world, 4)
	for i := range worlds {
		mine := make([]*simPlan, len(plans))
		for j, p := range plans {
			q := *p
			mine[j] = &q
		}
		w := newWorld(uint64(i), mine, 20)
		w.alone = false
		w.now = func(step time.Duration) time.Time { return t0.Add(time.Duration(clock.Add(int64(step)))) }
		for _, p := range mine {
			p.Random = w.random.Float64
		}
		worlds[i] = w
		wg.Go(func() {
			for range 20_000 {
				if err := w.step(); err != nil {
					t.Errorf("world %d: %v", i, err)
					return
				}
			}
			if err := w.drain(); err != nil {
				t.Errorf("world %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	checkPermits(t, plans, worlds[0].now(time.Hour))
}

// drain brings every call to its end: clients leave.
func (w *world) drain() error {
	now := w.now(0)
	for i := range w.slots {
		s := &w.slots[i]
		if s.state == simIdle {
			continue
		}
		if err := w.check(s, now, s.call.ClientGone(now), given{client: true, cancel: s.state != simWaiting}); err != nil {
			return err
		}
	}
	return nil
}

// checkPermits proves that all permits came back: opened and after its time, a breaker admits exactly its probes.
func checkPermits(t *testing.T, plans []*simPlan, now time.Time) {
	t.Helper()
	for i, p := range plans {
		if p.Breaker == nil {
			continue
		}
		probes := p.Settings.Breaker.Probes
		if p.Breaker.Status(now).State.String() == "closed" {
			continue
		}
		passed := 0
		for range probes + 5 {
			if _, ok := p.Breaker.Allow(now); ok {
				passed++
			}
		}
		if passed != probes {
			t.Errorf("plan %d: %d probes pass with all calls ended, want %d: a permit was not given back or was given back twice", i, passed, probes)
		}
	}
}
