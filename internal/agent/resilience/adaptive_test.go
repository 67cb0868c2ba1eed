package resilience

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// adaptiveModel is what an AdaptiveTimeout promises, said the slow way: it remembers every attempt and computes from the definitions.
type adaptiveModel struct {
	cfg      policy.Adaptive
	took     []time.Duration // since it forgot
	exceeded int
}

func (m *adaptiveModel) succeeded(took time.Duration) {
	m.took, m.exceeded = append(m.took, took), 0
}

func (m *adaptiveModel) exceeds() {
	if m.exceeded++; m.exceeded == 20 {
		m.took, m.exceeded = nil, 0
	}
}

func (m *adaptiveModel) limit() time.Duration {
	last := m.took[max(len(m.took)-m.cfg.Window, 0):]
	if len(last) < 20 {
		return m.cfg.Max
	}
	n := big.NewRat(int64(len(last)), 1)
	mean, variance := new(big.Rat), new(big.Rat)
	for _, d := range last {
		mean.Add(mean, big.NewRat(int64(d), 1))
	}
	mean.Quo(mean, n)
	for _, d := range last {
		off := new(big.Rat).Sub(big.NewRat(int64(d), 1), mean)
		variance.Add(variance, off.Mul(off, off))
	}
	variance.Quo(variance, n)
	precise := func(r *big.Rat) *big.Float { return new(big.Float).SetPrec(300).SetRat(r) }
	sigma := precise(variance)
	sigma.Sqrt(sigma)
	value := precise(big.NewRat(int64(m.cfg.Deviations), 1000))
	value.Mul(value, sigma).Add(value, precise(mean))
	ns, _ := value.Int64()
	return min(max(time.Duration(ns), m.cfg.Min), m.cfg.Max)
}

func TestRule06_TheAdaptiveTimeoutIsExact(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 6))
		cfg := randomAdaptive(r)
		a, m := NewAdaptiveTimeout(cfg), &adaptiveModel{cfg: cfg}
		spread := time.Duration(1) << (r.IntN(40) + 1)
		for step := range 2500 {
			switch n := r.IntN(1000); {
			case n == 0:
				spread = time.Duration(1) << (r.IntN(40) + 1)
			case n == 1:
				for range 20 {
					a.Exceeded()
					m.exceeds()
				}
			case n < 60:
				a.Exceeded()
				m.exceeds()
			default:
				took := time.Duration(r.Int64N(int64(spread)))
				a.Succeeded(took)
				m.succeeded(took)
			}
			if r.IntN(60) > 0 {
				continue // the model is slow
			}
			if off := a.Limit() - m.limit(); off < -1 || off > 1 {
				t.Fatalf("seed %d, step %d, %+v: %v, want %v", seed, step, cfg, a.Limit(), m.limit())
			}
		}
	}
}

func randomAdaptive(r *rand.Rand) policy.Adaptive {
	low := time.Duration(r.Int64N(int64(time.Second)))
	return policy.Adaptive{Min: low, Max: low + time.Duration(r.Int64N(int64(time.Hour))), Deviations: r.IntN(10_001), Window: 20 + r.IntN(981)}
}

func TestRule06_FewAttemptsSayNothing(t *testing.T) {
	cfg := policy.Adaptive{Min: time.Millisecond, Max: 5 * time.Second, Deviations: 2000, Window: 200}
	a := NewAdaptiveTimeout(cfg)
	for range 19 {
		a.Succeeded(10 * time.Millisecond)
		if a.Limit() != cfg.Max {
			t.Fatalf("%v after %d attempts", a.Limit(), a.Samples())
		}
	}
	if a.Succeeded(10 * time.Millisecond); a.Limit() != 10*time.Millisecond {
		t.Errorf("%v after %d attempts", a.Limit(), a.Samples())
	}
}

// An upstream that has become slower for good answers no attempt in time, so that nothing would ever say that more is needed.
func TestRule06_AnUpstreamThatBecomesSlowerIsNotShutOut(t *testing.T) {
	cfg := policy.Adaptive{Min: time.Millisecond, Max: 5 * time.Second, Window: 200}
	a := NewAdaptiveTimeout(cfg)
	for range 200 {
		a.Succeeded(10 * time.Millisecond)
	}
	for range 19 {
		a.Exceeded()
	}
	a.Succeeded(10 * time.Millisecond) // it was not shut out
	for range 19 {
		a.Exceeded()
	}
	if a.Limit() != 10*time.Millisecond {
		t.Fatalf("%v: it has forgotten too early", a.Limit())
	}
	a.Exceeded()
	if a.Limit() != cfg.Max {
		t.Errorf("%v: it has not forgotten", a.Limit())
	}
}

// Whatever it is given, it keeps within what its sums can hold: a factor from 0 to 10, from 20 to 1,000 attempts, of at most half an hour each.
func TestAnAdaptiveTimeoutIsBounded(t *testing.T) {
	ones := func(n int) []time.Duration { return slices.Repeat([]time.Duration{time.Second}, n) }
	apart := append(ones(10), slices.Repeat([]time.Duration{3 * time.Second}, 10)...) // 2 s, with a deviation of 1 s
	for name, tc := range map[string]struct {
		cfg  policy.Adaptive
		took []time.Duration
		want time.Duration
	}{
		"a factor below 0":         {policy.Adaptive{Deviations: -1000, Window: 20}, apart, 2 * time.Second},
		"a factor above 10":        {policy.Adaptive{Deviations: 11_000, Window: 20}, apart, 12 * time.Second},
		"a window of few":          {policy.Adaptive{Window: 5}, apart, 2 * time.Second},
		"a window of many":         {policy.Adaptive{Window: 2000}, append([]time.Duration{time.Minute}, ones(1000)...), time.Second},
		"attempts of hours":        {policy.Adaptive{Window: 20}, slices.Repeat([]time.Duration{9 * time.Hour}, 20), 30 * time.Minute},
		"an attempt of no time":    {policy.Adaptive{Window: 20}, append(ones(19), -time.Second), 950 * time.Millisecond},
		"no less than the minimum": {policy.Adaptive{Window: 20, Min: 2 * time.Second}, ones(20), 2 * time.Second},
	} {
		tc.cfg.Max = 24 * time.Hour
		a := NewAdaptiveTimeout(tc.cfg)
		for _, took := range tc.took {
			a.Succeeded(took)
		}
		if a.Limit() != tc.want {
			t.Errorf("%s: %v, want %v", name, a.Limit(), tc.want)
		}
	}
}

func TestAnEditOfAnAdaptiveTimeoutKeepsWhatItKnows(t *testing.T) {
	cfg := policy.Adaptive{Min: time.Millisecond, Max: 5 * time.Second, Window: 40}
	a := NewAdaptiveTimeout(cfg)
	for i := range 70 { // the ring has turned
		a.Succeeded(time.Duration(i) * time.Millisecond)
	}
	cfg.Window = 20
	a.Reconfigure(cfg)
	if want := 59500 * time.Microsecond; a.Limit() != want || a.Samples() != 20 {
		t.Errorf("%v of %d attempts, want %v of the latest 20", a.Limit(), a.Samples(), want)
	}
	cfg.Max = 50 * time.Millisecond
	a.Reconfigure(cfg)
	if a.Limit() != cfg.Max {
		t.Errorf("%v", a.Limit())
	}
}

// Whatever the order of attempts that end at once, what is known is the same.
func TestAnAdaptiveTimeoutIsExactUnderConcurrency(t *testing.T) {
	cfg := policy.Adaptive{Max: time.Hour, Deviations: 1500, Window: 1000}
	a, m := NewAdaptiveTimeout(cfg), &adaptiveModel{cfg: cfg}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 250 {
				a.Succeeded(time.Duration(i*250+j) * time.Millisecond)
				_ = a.Limit()
			}
		})
	}
	for i := range 1000 {
		m.succeeded(time.Duration(i) * time.Millisecond)
	}
	wg.Wait()
	if off := a.Limit() - m.limit(); off < -1 || off > 1 {
		t.Errorf("%v, want %v", a.Limit(), m.limit())
	}
}

func TestAnAdaptiveTimeoutAllocatesNothing(t *testing.T) {
	a := NewAdaptiveTimeout(policy.Adaptive{Max: time.Second, Window: 20})
	if n := testing.AllocsPerRun(100, func() {
		a.Succeeded(time.Millisecond)
		a.Exceeded()
		_ = a.Limit()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
