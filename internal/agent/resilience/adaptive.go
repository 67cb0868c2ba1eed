package resilience

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// enoughSamples is how many successful attempts must be known before they say how long one takes (rule 6).
	enoughSamples = 20
	// maxSamples bounds how many are kept, and longestSample how long each counts, so that no sum overflows.
	maxSamples    = 1000
	longestSample = 30 * time.Minute
	// maxDeviations is the largest factor, in thousandths.
	maxDeviations = 10_000
)

// AdaptiveTimeout is how long an attempt may take, by the latest that succeeded: their mean and some standard deviations more, within bounds (rule
// 6). It is exact to a nanosecond. As long as few have succeeded it is the upper bound; so it is again when as many attempts in a row
// have exceeded it as are needed to know it, for then what is known is out of date: no attempt that it ends says how long it would have taken.
type AdaptiveTimeout struct {
	limit atomic.Int64 // atomic: what Limit returns

	mu sync.Mutex
	// guarded by mu
	cfg      policy.Adaptive
	took     []uint64 // the latest samples, in nanoseconds: a ring that is full before it turns
	oldest   int
	sum      uint64
	squares  uint128
	exceeded int // attempts in a row that the limit has ended
}

// NewAdaptiveTimeout returns one that knows no attempt.
func NewAdaptiveTimeout(cfg policy.Adaptive) *AdaptiveTimeout {
	a := &AdaptiveTimeout{}
	a.configure(cfg)
	return a
}

// Reconfigure puts cfg in force. What is known stays, as far as the window holds it.
func (a *AdaptiveTimeout) Reconfigure(cfg policy.Adaptive) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cfg == a.cfg {
		return
	}
	known := append(append([]uint64(nil), a.took[a.oldest:]...), a.took[:a.oldest]...)
	a.configure(cfg)
	for _, ns := range known {
		a.add(ns)
	}
	a.store()
}

// configure expects the lock, or that nobody else knows a yet.
func (a *AdaptiveTimeout) configure(cfg policy.Adaptive) {
	a.cfg = cfg
	a.took = make([]uint64, 0, min(max(cfg.Window, enoughSamples), maxSamples))
	a.forget()
}

// forget drops what is known.
func (a *AdaptiveTimeout) forget() {
	a.took, a.oldest, a.sum, a.squares, a.exceeded = a.took[:0], 0, 0, uint128{}, 0
	a.store()
}

// Limit is how long an attempt that begins now may take.
func (a *AdaptiveTimeout) Limit() time.Duration { return time.Duration(a.limit.Load()) }

// Samples is how many attempts are known.
func (a *AdaptiveTimeout) Samples() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.took)
}

// Succeeded takes in how long a successful attempt took.
func (a *AdaptiveTimeout) Succeeded(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exceeded = 0
	a.add(uint64(min(max(took, 0), longestSample)))
	a.store()
}

// Exceeded takes in that the limit has ended an attempt.
func (a *AdaptiveTimeout) Exceeded() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.exceeded++; a.exceeded >= enoughSamples {
		a.forget()
	}
}

func (a *AdaptiveTimeout) add(ns uint64) {
	if len(a.took) < cap(a.took) {
		a.took = append(a.took, ns)
	} else {
		out := a.took[a.oldest]
		a.sum -= out
		a.squares = a.squares.minus(product(out, out))
		a.took[a.oldest] = ns
		a.oldest = (a.oldest + 1) % len(a.took)
	}
	a.sum += ns
	a.squares = a.squares.plus(product(ns, ns))
}

func (a *AdaptiveTimeout) store() {
	limit := a.cfg.Max
	if len(a.took) >= enoughSamples {
		limit = max(min(a.usual(), a.cfg.Max), a.cfg.Min)
	}
	a.limit.Store(int64(limit))
}

// usual is mean + k·σ, where with n samples of the sum S and the sum of squares Q, σ is √(n·Q − S²) / n.
func (a *AdaptiveTimeout) usual() time.Duration {
	n, k := uint64(len(a.took)), uint64(min(max(a.cfg.Deviations, 0), maxDeviations))
	root := a.squares.times(n).minus(product(a.sum, a.sum)).root()
	return time.Duration((1000*a.sum + k*root) / (1000 * n))
}

// uint128 is a whole number of 128 bits. Its sums, differences and products must fit.
type uint128 struct{ hi, lo uint64 }

func product(a, b uint64) (p uint128) {
	p.hi, p.lo = bits.Mul64(a, b)
	return p
}

func (a uint128) plus(b uint128) uint128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return uint128{a.hi + b.hi + carry, lo}
}

func (a uint128) minus(b uint128) uint128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	return uint128{a.hi - b.hi - borrow, lo}
}

func (a uint128) times(n uint64) uint128 {
	p := product(a.lo, n)
	p.hi += a.hi * n
	return p
}

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// root is the square root, rounded down; it must be below 2^63.
func (a uint128) root() uint64 {
	r := uint64(math.Sqrt(float64(a.hi)*(1<<64) + float64(a.lo))) // off by a few units at most
	for a.less(product(r, r)) {
		r--
	}
	for !a.less(product(r+1, r+1)) {
		r++
	}
	return r
}
