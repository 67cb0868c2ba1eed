package resilience

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// plainTriggers is the plain way to count what opens a breaker: every result, one after the other.
type plainTriggers struct {
	cfg          *policy.Breaker
	consecutive  int
	errors, slow plainWindow
}

func newPlainTriggers(cfg *policy.Breaker) *plainTriggers {
	p := &plainTriggers{cfg: cfg}
	if e := cfg.ErrorRate; e != nil {
		p.errors.span = e.Window
	}
	if s := cfg.SlowCalls; s != nil {
		p.slow.span = s.Window
	}
	return p
}

// record counts a result and reports whether a trigger fires.
func (p *plainTriggers) record(now time.Time, r Result) bool {
	fires := false
	switch {
	case r.GivenUp:
	case r.Failed:
		p.consecutive++
		fires = p.cfg.ConsecutiveFailures > 0 && p.consecutive >= p.cfg.ConsecutiveFailures
	default:
		p.consecutive = 0
	}
	if e := p.cfg.ErrorRate; e != nil && !r.GivenUp {
		p.errors.add(now, r.Failed)
		fires = p.errors.reached(e.Percent, e.MinimumRequests) || fires
	}
	if s := p.cfg.SlowCalls; s != nil {
		p.slow.add(now, r.Took > s.Threshold)
		fires = p.slow.reached(s.Percent, s.MinimumRequests) || fires
	}
	return fires
}

// plainWindow counts events and the bad ones among them in slots.
type plainWindow struct {
	span       time.Duration
	tick       int64 // the slot number that now falls into
	slots      [slotCount]struct{ total, bad int }
	total, bad int
}

func (w *plainWindow) add(now time.Time, bad bool) {
	for tick := int64(now.Sub(t0) / (w.span / slotCount)); w.tick < tick; {
		w.tick++
		s := &w.slots[w.tick%slotCount]
		w.total, w.bad = w.total-s.total, w.bad-s.bad
		s.total, s.bad = 0, 0
	}
	s := &w.slots[w.tick%slotCount]
	s.total++
	w.total++
	if bad {
		s.bad++
		w.bad++
	}
}

func (w *plainWindow) reached(percent, minimum int) bool {
	return w.total > 0 && w.total >= minimum && w.bad*100 >= percent*w.total && w.bad > 0
}

func randomTriggers(random *rand.Rand) *policy.Breaker {
	cfg := policy.DefaultBreaker()
	cfg.OpenDuration, cfg.OpenMaxDuration = 100*time.Millisecond, time.Second
	span := func() time.Duration { return time.Duration(1+random.IntN(20)) * 100 * time.Millisecond }
	if random.IntN(3) > 0 {
		cfg.ConsecutiveFailures = 1 + random.IntN(8)
	}
	if random.IntN(4) > 0 {
		cfg.ErrorRate = &policy.ErrorRate{Percent: 1 + random.IntN(100), MinimumRequests: random.IntN(40), Window: span()}
	}
	if random.IntN(3) > 0 {
		cfg.SlowCalls = &policy.SlowCalls{
			Threshold: time.Second, Percent: 1 + random.IntN(100), MinimumRequests: random.IntN(40), Window: span(),
		}
	}
	return &cfg
}

func randomResult(random *rand.Rand, bad float64) Result {
	r := Result{Shard: uint8(random.Uint32()), Took: time.Millisecond}
	if random.Float64() < bad {
		r.Failed = random.IntN(2) == 0
		r.GivenUp = !r.Failed && random.IntN(2) == 0
		if !r.Failed {
			r.Took = 2 * time.Second
		}
	}
	return r
}

// A breaker that counts most successes without its lock opens at the very result at which one opens that counts them plainly.
func TestRule22_OpensExactlyWhenPlainCountingDoes(t *testing.T) {
	opened, quiet := 0, 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 11))
		cfg := randomTriggers(random)
		b, plain := NewBreaker(cfg, t0, middle), newPlainTriggers(cfg)
		now, bad := t0, random.Float64()*random.Float64()
		for range 2000 {
			now = now.Add(time.Duration(random.ExpFloat64() * float64(10*time.Millisecond)))
			p, ok := b.Allow(now)
			if !ok {
				t.Fatalf("seed %d: refused while closed", seed)
			}
			r := randomResult(random, bad)
			if int64(now.Sub(t0)) < b.quiet.Load() {
				quiet++
			}
			b.Done(now, p, r)
			want := plain.record(now, r)
			if got := b.Status(now).State == Open; got != want {
				t.Fatalf("seed %d: after %+v at %v: open %v, want %v\n%+v", seed, r, now.Sub(t0), got, want, cfg)
			}
			if want {
				opened++
				now = now.Add(2 * cfg.OpenMaxDuration)
				for b.Status(now).State != Closed || stateOf(b.epoch.Load()) != Closed {
					do(b, now, false)
				}
				plain = newPlainTriggers(cfg)
			}
		}
	}
	if opened < 1000 || quiet < 30_000 {
		t.Errorf("%d times opened, %d results in a quiet time: the test shows little", opened, quiet)
	}
}

// No result is lost or counted twice, however many come at once.
func TestRule22_CountsAreExactUnderConcurrency(t *testing.T) {
	const workers, each = 8, 5000
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ErrorRate = &policy.ErrorRate{Percent: 100, MinimumRequests: 1, Window: 10 * time.Second}
	})
	do(b, t0, false)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				p, ok := b.Allow(t0)
				if !ok {
					t.Error("refused")
					return
				}
				b.Done(t0, p, Result{Failed: i%10 == 9, Shard: uint8(w)})
			}
		})
	}
	wg.Wait()
	e := b.triggers.Load().errors
	if good, bad := e.good.sum(1), e.bad.sum(1); good != 1+workers*each*9/10 || bad != workers*each/10 {
		t.Errorf("%d good and %d bad counted of %d", good, bad, 1+workers*each)
	}
}
