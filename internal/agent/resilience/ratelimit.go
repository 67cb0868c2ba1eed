package resilience

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// RateLimit bounds how many calls start per time, as a token bucket: in any time t at most burst + rate × t calls pass, however many
// ask at once and from however many pods (rule 24). It is kept as the generic cell rate algorithm (ITU-T I.371) has it: as the time at
// which the bucket will be full again, so that a call which need not wait costs one atomic exchange and no lock.
//
// Calls that may wait do so in a line. Each knows from the number of those in front of it when its turn comes, and asks again then: it
// passes as if those had passed, also when some of them are late. So one that does not come holds nobody up, and none passes before its turn.
type RateLimit struct {
	// immutable after NewRateLimit
	origin time.Time // other times are nanoseconds from here

	// atomic
	full    atomic.Int64 // when the bucket is full again
	waiting atomic.Int64 // calls in the line; written under mu
	rate    atomic.Pointer[rate]
	came    atomic.Uint64 // calls that have come to a limit of which this node has a share
	_       [64]byte

	mu sync.Mutex // guards everything below, and what waiters hold
	// configuration, replaced by Reconfigure
	cfg  policy.RateLimit
	line line
}

// rate is what a RateLimit goes by. Times are in nanoseconds.
type rate struct {
	every   int64 // from one call to the next
	slack   int64 // how long before the bucket is full calls may pass: burst - 1 calls' worth
	maxWait int64
	shared  *rateShare // nil: the limit is this node's own
}

// never is later than any time that a limit computes, and far enough from the end of its range to be added to.
const never = math.MaxInt64 / 4

// changing stands for the time at which the bucket is full while the rate is changed.
const changing = math.MinInt64

// NewRateLimit returns a limit with a full bucket. Times given to it later are read relative to now.
func NewRateLimit(cfg policy.RateLimit, now time.Time) *RateLimit {
	l := &RateLimit{origin: now, cfg: cfg}
	l.rate.Store(rateOf(cfg))
	return l
}

func rateOf(cfg policy.RateLimit) *rate {
	requests := int64(max(cfg.Requests, 1))
	every := max((int64(cfg.Per)+requests-1)/requests, 1) // rounded up: the rate is never exceeded
	return &rate{every: every, slack: times(int64(max(cfg.Burst, 1)-1), every), maxWait: int64(cfg.MaxWait)}
}

// times is a product that does not overflow: it is at most never.
func times(n, d int64) int64 {
	if n > 0 && d > never/n {
		return never
	}
	return n * d
}

// Reconfigure puts cfg in force. What has been taken stays taken, so that edits let no more calls start.
func (l *RateLimit) Reconfigure(cfg policy.RateLimit, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg == cfg {
		return
	}
	l.cfg = cfg
	l.change(rateOf(cfg), l.since(now))
}

// change puts a rate in force. It expects the lock.
func (l *RateLimit) change(next *rate, now int64) {
	old := l.rate.Load()
	full := l.full.Swap(changing)
	then := full
	if full > now && next.every != old.every {
		then = now + scaled(full-now, next.every, old.every) // the tokens that are missing are as many as before
	}
	if then == full {
		then++ // so that who has read the rate before does not take it for unchanged
	}
	l.rate.Store(next)
	l.full.Store(then)
	l.rouse()
}

// scaled is d × by / from, rounded up, and at most never.
func scaled(d, by, from int64) int64 {
	hi, lo := bits.Mul64(uint64(d), uint64(by))
	if hi >= uint64(from) {
		return never
	}
	q, rest := bits.Div64(hi, lo, uint64(from))
	if rest > 0 {
		q++
	}
	return int64(min(q, never))
}

// Waiting is how many calls wait.
func (l *RateLimit) Waiting() int { return int(l.waiting.Load()) }

// Gate returns the way of one pod's calls to the limit. Calls of a pod that come by different gates wait like those of different pods.
func (l *RateLimit) Gate() *RateGate { return &RateGate{limit: l} }

// GateWaiting is Gate for calls that wait for so long at most, whatever the limit's configuration says.
func (l *RateLimit) GateWaiting(most time.Duration) *RateGate {
	return &RateGate{limit: l, own: true, maxWait: int64(most)}
}

// RateGate is where the calls of one pod come to a RateLimit. It implements call.Gate.
type RateGate struct {
	limit *RateLimit // immutable, as are own and maxWait

	own     bool // maxWait counts, and not the limit's
	maxWait int64
	queue   podQueue // guarded by limit.mu
}

// mostWait is how long calls wait at most, in nanoseconds.
func (g *RateGate) mostWait(r *rate) int64 {
	if g.own {
		return g.maxWait
	}
	return r.maxWait
}

// Enter lets a call pass, refuses it or has it wait.
func (g *RateGate) Enter(now time.Time, w *Waiter) Entry {
	l, t := g.limit, g.limit.since(now)
	if w.queue == nil {
		l.count()
	}
	if w.queue == nil && l.waiting.Load() == 0 {
		r, at, ok := l.take(t, 0)
		switch {
		case ok:
			return Entry{}
		case r != nil && r.tooLong(at-t, g.mostWait(r)):
			return Entry{Verdict: Refuse, RetryAfter: r.retryAfter(at-t, g.mostWait(r))}
		}
	}
	return l.wait(g, w, t)
}

// Leave ends the wait of a call that has not passed, and gives its turn to those behind it.
func (g *RateGate) Leave(_ time.Time, w *Waiter, _ Result) {
	if w.queue == nil { // which only its own call changes
		return
	}
	l := g.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.remove(w)
	l.changed()
}

// take takes a token, if there is one besides those of so many calls before; otherwise at is when there will be. r is what it went by; nil:
// that is being changed, for which the lock is held.
func (l *RateLimit) take(now, before int64) (r *rate, at int64, ok bool) {
	for {
		full := l.full.Load()
		if full == changing {
			return nil, 0, false
		}
		r = l.rate.Load() // after full, which a change replaces twice
		if at = full - r.slack + times(before, r.every); at > now {
			return r, at, false
		}
		if l.full.CompareAndSwap(full, max(full, now)+r.every) {
			return r, now, true
		}
	}
}

// wait lets a call pass whose turn has come, and has others wait for theirs if that is not too long.
func (l *RateLimit) wait(g *RateGate, w *Waiter, now int64) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	came := w.queue == nil
	if came {
		l.line.push(&g.queue, w)
		w.until = now + g.mostWait(l.rate.Load())
	}
	r, at, ok := l.take(now, int64(l.line.position(w)))
	if ok {
		l.line.served(w)
		l.changed()
		return Entry{}
	}
	if came && r.tooLong(at-now, g.mostWait(r)) || now >= w.until {
		l.line.remove(w)
		l.changed()
		return Entry{Verdict: Refuse, RetryAfter: r.retryAfter(at-now, g.mostWait(r))}
	}
	w.armed = min(at, w.until)
	l.waiting.Store(int64(l.line.n))
	e := Entry{Verdict: Park, Until: l.time(w.armed), Expected: l.time(at)}
	if r.provisional() {
		e.Expected = time.Time{}
	}
	return e
}

// tooLong reports whether a call that would pass after a time, and waits for so long at most, does not wait for that.
func (r *rate) tooLong(d, maxWait int64) bool {
	return d > maxWait && (maxWait == 0 || !r.provisional())
}

// retryAfter is when a call would be let in, be it to wait for so long, that would pass after a time.
func (r *rate) retryAfter(d, maxWait int64) time.Duration {
	d = max(d-maxWait, 0)
	if r.shared != nil {
		d = min(d, r.shared.longest)
	}
	return time.Duration(d)
}

// changed notes that a call has left the line. It expects the lock.
func (l *RateLimit) changed() {
	l.waiting.Store(int64(l.line.n))
	l.rouse()
}

// rouse wakes who is next if it would ask later than it may pass. It expects the lock.
func (l *RateLimit) rouse() {
	w := l.line.front()
	if w == nil {
		return
	}
	if at := l.full.Load() - l.rate.Load().slack; w.armed > at {
		w.armed = at
		w.wake()
	}
}

func (l *RateLimit) since(now time.Time) int64 { return int64(max(now.Sub(l.origin), 0)) }

func (l *RateLimit) time(at int64) time.Time { return l.origin.Add(time.Duration(at)) }
