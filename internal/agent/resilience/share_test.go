package resilience

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func shared(rate, burst float64) SharedLimit {
	return SharedLimit{Whole: policy.Share{Rate: 1000, Burst: 1000}, Share: policy.Share{Rate: rate, Burst: burst}}
}

// plainShare is the plain way to have a share: a level that rises with time.
type plainShare struct {
	every, size, level float64
	at                 time.Duration
}

func (p *plainShare) set(s policy.Share) {
	p.every = math.Ceil(1e9 / s.Rate) // as the limit has it, in whole nanoseconds
	p.size = max(s.Burst, 1)
	p.level = min(p.level, p.size)
}

func (p *plainShare) advance(to time.Duration) {
	p.level = min(p.level+float64(to-p.at)/p.every, p.size)
	p.at = to
}

// Whatever shares come, in whatever order: calls pass when plain counting has a token for them.
func TestRule24_ASharePassesWhatPlainCountingPasses(t *testing.T) {
	passed, refused := 0, 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 5))
		draw := func() policy.Share {
			return policy.Share{Rate: math.Exp(random.Float64() * 8), Burst: math.Exp(random.Float64()*5) - 1}
		}
		s := shared(1, 1)
		s.Share = draw()
		l, plain := NewSharedRateLimit(s, t0), &plainShare{level: 1}
		plain.set(s.Share)
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(random.ExpFloat64() * 2e6)
			plain.advance(now)
			if random.IntN(10) == 0 {
				s.Share = draw()
				l.SetShare(s, t0.Add(now))
				plain.set(s.Share)
				continue
			}
			e := enter(l, now)
			if math.Abs(plain.level-1) > 1e-5 && (e.Verdict == Pass) != (plain.level > 1) {
				t.Fatalf("seed %d at %v: verdict %d with %v tokens", seed, now, e.Verdict, plain.level)
			}
			if e.Verdict == Pass {
				plain.level--
				passed++
			} else {
				refused++
			}
		}
	}
	if passed < 5000 || refused < 5000 {
		t.Errorf("%d passed, %d refused: the test shows little", passed, refused)
	}
}

// Tokens that a node loses are gone: the burst that comes back is filled by time.
func TestRule24_ALargerShareIsFilledByTime(t *testing.T) {
	l := NewSharedRateLimit(shared(100, 50), t0)
	at := time.Hour // full
	l.SetShare(shared(100, 10), t0.Add(at))
	l.SetShare(shared(100, 50), t0.Add(at))
	n := 0
	for enter(l, at).Verdict == Pass {
		n++
	}
	if n != 10 {
		t.Errorf("%d calls start at once, want the 10 that were left", n)
	}
	if e := enter(l, at+10*time.Millisecond+2); e.Verdict != Pass {
		t.Errorf("after the time of one call: %+v", e)
	}
}

// A node without a share lets one call start, and its other callers are not sent away for as long as its hundredth would have it.
func TestRule24_ANodeWithoutAShareBeginsWithOneCall(t *testing.T) {
	s := SharedLimit{Whole: policy.Share{Rate: 1, Burst: 5}, Share: FirstShare(policy.Share{Rate: 1, Burst: 5}), Provisional: true}
	l := NewSharedRateLimit(s, t0)
	if e := enter(l, 0); e.Verdict != Pass {
		t.Fatalf("the first call: %+v", e)
	}
	if e := enter(l, 0); e.Verdict != Refuse || e.RetryAfter != 2*time.Second {
		t.Errorf("the second one: %+v, want it to come again when shares have followed, and the whole has had another call start", e)
	}
	if early, due := enter(l, 99*time.Second), enter(l, 100*time.Second); early.Verdict != Refuse || due.Verdict != Pass {
		t.Errorf("at a hundredth of the rate: %+v, %+v", early, due)
	}
	if first, second := enter(l, 500*time.Second), enter(l, 500*time.Second); first.Verdict != Pass || second.Verdict != Refuse {
		t.Errorf("after a long time: %+v, %+v, want no more than one at once", first, second)
	}
	if n := l.Came(); n != 6 {
		t.Errorf("%d calls have come, want 6", n)
	}
}

// While a share is on its way calls wait that may, and it wakes them.
func TestRule24_CallsWaitForAShareThatIsOnItsWay(t *testing.T) {
	s := shared(0.001, 1)
	s.Provisional = true
	l := NewSharedRateLimit(s, t0)
	g, woken := l.GateWaiting(time.Second), 0
	w := &Waiter{Wake: func() { woken++ }}
	g.Enter(t0, &Waiter{})
	if e := g.Enter(t0, w); e.Verdict != Park || !e.Until.Equal(t0.Add(time.Second)) || !e.Expected.IsZero() {
		t.Fatalf("without a share: %+v, want the call to wait for one", e)
	}
	s.Share.Rate, s.Provisional = 100, false
	l.SetShare(s, t0.Add(200*time.Millisecond))
	if woken != 1 {
		t.Fatalf("woken %d times by its share", woken)
	}
	if e := g.Enter(t0.Add(211*time.Millisecond), w); e.Verdict != Pass {
		t.Errorf("with a share: %+v", e)
	}
	if n := l.Came(); n != 2 {
		t.Errorf("%d calls have come, want 2: one that waits is one", n)
	}
	s.Share.Rate = 0.001
	l.SetShare(s, t0.Add(211*time.Millisecond))
	if e := g.Enter(t0.Add(211*time.Millisecond), w); e.Verdict != Refuse {
		t.Errorf("with a share that is too small: %+v", e)
	}
}

// A share of nothing lets what it has start, and no more, ever.
func TestRule24_AShareOfNothing(t *testing.T) {
	l := NewSharedRateLimit(shared(0, 0), t0)
	if e := enter(l, 0); e.Verdict != Pass {
		t.Fatalf("%+v", e)
	}
	if e := enter(l, 1000*time.Hour); e.Verdict != Refuse || e.RetryAfter <= 0 || e.RetryAfter > 2*time.Second {
		t.Errorf("%+v", e)
	}
	l.SetShare(shared(1000, 1000), t0.Add(1000*time.Hour))
	if e := enter(l, 1001*time.Hour); e.Verdict != Pass {
		t.Errorf("with a share again: %+v", e)
	}
}

// However many calls ask while shares come and go, no window has more starts than the larger share lets.
func TestRule24_SharesAreExactUnderConcurrency(t *testing.T) {
	const workers, each, every = 8, 3000, time.Microsecond
	small, large := shared(1e5, 3), shared(1e6, 7)
	l := NewSharedRateLimit(large, t0)
	var clock atomic.Int64
	var mu sync.Mutex
	var starts []time.Duration
	var wg, changes sync.WaitGroup
	done := make(chan struct{})
	changes.Go(func() {
		for s, next := small, large; ; s, next = next, s {
			l.SetShare(s, t0.Add(time.Duration(clock.Add(1))))
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range workers {
		wg.Go(func() {
			g, random := l.GateWaiting(20*every), rand.New(rand.NewPCG(uint64(i), 6))
			for range each {
				if at, ok := passOrLeave(g, &clock, random); ok {
					mu.Lock()
					starts = append(starts, at)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	close(done)
	changes.Wait()
	// Each worker may have looked at the clock before a change of the share and have passed after it: that start counts as earlier than it was.
	withinRate(t, starts, every, 7+workers)
	if n := l.Waiting(); n != 0 || l.line.turn != nil {
		t.Errorf("%d are left", n)
	}
	if n := l.Came(); n != workers*each {
		t.Errorf("%d calls have come of %d", n, workers*each)
	}
}
