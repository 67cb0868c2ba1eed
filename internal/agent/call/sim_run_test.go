package call

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// One goroutine drives many interleaved calls through random schedules and faults; each Action is checked against the rules.
func TestSimulator(t *testing.T) {
	worlds, steps := 40, 50_000
	if testing.Short() {
		worlds = 4
	}
	sum := &world{}
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
		checkPlans(t, w.plans, w.now(time.Hour))
		sum.add(w)
	}
	sum.checkCoverage(t)
}

// add adds what happened in another world.
func (w *world) add(o *world) {
	for k := range w.ended {
		for d := range w.ended[k] {
			w.ended[k][d] += o.ended[k][d]
		}
	}
	for i := range w.starts {
		w.starts[i] += o.starts[i]
	}
	for i := range w.did {
		w.did[i] += o.did[i]
	}
	w.strays += o.strays
	w.unplacings += o.unplacings
	w.unplacedLast += o.unplacedLast
	w.differ += o.differ
	for i := range w.ends {
		w.ends[i] += o.ends[i]
	}
}

// checkCoverage fails if something never happened.
func (w *world) checkCoverage(t *testing.T) {
	t.Helper()
	var kinds [KindCount]int
	var decisions [RetryDecisionCount]int
	for k := range w.ended {
		for d, n := range w.ended[k] {
			kinds[k] += n
			decisions[d] += n
		}
	}
	kinds[Superseded] = 1                 // which no call ends with
	kinds[Injected], w.did[Inject] = 1, 1 // see TestFaultsKeepTheRules
	for what, counts := range map[string][]int{
		"end with kind": kinds[:], "end with decision": decisions[:], "start": w.starts[:], "action": w.did[:], "stray, shadow": {w.strays, w.differ},
		"hedge without a place, alone": {w.unplacings, w.unplacedLast},
		"end of a connection":          w.ends[:],
	} {
		for i, n := range counts {
			if n == 0 {
				t.Errorf("%s %d never came: the simulator shows nothing of it", what, i)
			}
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
		w := newWorld(uint64(i), nil, 20)
		for _, p := range plans {
			w.plans = append(w.plans, &simPlan{Plan: *drawing(&p.Plan, w.random.Float64), limit: p.limit})
		}
		w.alone = false
		w.now = func(step time.Duration) time.Time { return t0.Add(time.Duration(clock.Add(int64(step)))) }
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
	checkPlans(t, plans, worlds[0].now(time.Hour))
}

// drawing returns a copy of a plan, and of those in it, for another worker.
func drawing(p *Plan, random func() float64) *Plan {
	if p == nil {
		return nil
	}
	q := *p
	q.Random, q.Shadow = random, drawing(p.Shadow, random)
	if p.Fallback != nil {
		f := *p.Fallback
		f.Plan = drawing(f.Plan, random)
		q.Fallback = &f
	}
	return &q
}

// checkPlans proves that everything that calls take came back.
func checkPlans(t *testing.T, plans []*simPlan, now time.Time) {
	t.Helper()
	for i, p := range plans {
		all := []*Plan{&p.Plan}
		if p.Fallback != nil && p.Fallback.Plan != nil {
			all = append(all, p.Fallback.Plan)
		}
		if p.Shadow != nil {
			all = append(all, p.Shadow)
			if f := p.Shadow.Fallback; f != nil && f.Plan != nil {
				all = append(all, f.Plan)
			}
		}
		for _, p := range all {
			if err := checkPlan(p, now); err != nil {
				t.Errorf("plan %d: %v", i, err)
			}
		}
		for s, b := range p.endpoints {
			if err := checkPlan(&Plan{Settings: s, Breaker: b}, now); err != nil {
				t.Errorf("plan %d, endpoint: %v", i, err)
			}
		}
	}
}

// checkPlan proves it of one: gates are empty, and a breaker that has opened and is after its time admits exactly its probes.
func checkPlan(p *Plan, now time.Time) error {
	for _, g := range p.Gates {
		if left, err := g.(simGate).state(); err != nil || left > 0 {
			return fmt.Errorf("%d calls are left at a gate (%w)", left, err)
		}
	}
	if p.Breaker == nil || p.Breaker.Status(now).State == resilience.Closed {
		return nil
	}
	probes, passed := p.Settings.Breaker.Probes, 0
	for range probes + 5 {
		if _, ok := p.Breaker.Allow(now); ok {
			passed++
		}
	}
	if passed != probes {
		return fmt.Errorf("%d probes pass with all calls ended, want %d: a permit was not given back or was given back twice", passed, probes)
	}
	return nil
}
