package resilience

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Concurrency bounds how many calls run at once. A call that ends gives its place to the one that has waited longest, pods in turn; the
// place is that call's from then on, so that none which comes meanwhile can take it. Where the limit adapts, every call that ends tells
// how long it has taken.
//
// The queue is bounded for all pods together. When it is full and a pod has fewer calls in it than another, the last one of the pod
// with the most makes way (McKenney, stochastic fairness queueing, 1990): a pod that fills the queue costs others nothing.
type Concurrency struct {
	// immutable after NewConcurrency
	origin time.Time

	mu sync.Mutex // guards everything below, and what waiters hold
	// configuration, replaced by Reconfigure
	cfg policy.Concurrency

	running  int // places taken
	line     line
	adaptive *gradient // nil: the limit is as written
}

// ConcurrencyStatus is what a Concurrency tells of itself.
type ConcurrencyStatus struct {
	// Limit is how many calls may run at once, now.
	Limit int
	// Running and Waiting count calls.
	Running, Waiting int
}

// NewConcurrency returns a limit of which nothing is taken.
func NewConcurrency(cfg policy.Concurrency, now time.Time) *Concurrency {
	c := &Concurrency{origin: now}
	c.configure(cfg)
	return c
}

func (c *Concurrency) configure(cfg policy.Concurrency) {
	if a := cfg.Adaptive; a == nil {
		c.adaptive = nil
	} else if c.adaptive == nil || *c.cfg.Adaptive != *a {
		c.adaptive = newGradient(a.Min, a.Max)
	}
	c.cfg = cfg
}

// Reconfigure puts cfg in force. Calls that run go on; what an adaptive limit has found stays as long as its bounds do.
func (c *Concurrency) Reconfigure(cfg policy.Concurrency) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.configure(cfg)
	c.grant()
}

// Status tells how c stands.
func (c *Concurrency) Status() ConcurrencyStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConcurrencyStatus{Limit: c.limit(), Running: c.running, Waiting: c.line.n}
}

// limit expects the lock.
func (c *Concurrency) limit() int {
	if c.adaptive != nil {
		return c.adaptive.places()
	}
	return c.cfg.Max
}

// Gate returns the way of one pod's calls to the limit. Calls of a pod that come by different gates wait like those of different pods.
func (c *Concurrency) Gate() *ConcurrencyGate { return &ConcurrencyGate{limit: c} }

// ConcurrencyGate is where the calls of one pod come to a Concurrency. It implements call.Gate.
type ConcurrencyGate struct {
	limit *Concurrency
	queue podQueue // guarded by limit.mu
}

// refused is the answer to a call that finds no place: it cannot be known when one will be free.
var refused = Entry{Verdict: Refuse, RetryAfter: time.Second}

// Enter gives a call a place, refuses it or has it wait.
func (g *ConcurrencyGate) Enter(now time.Time, w *Waiter) Entry {
	c := g.limit
	c.mu.Lock()
	defer c.mu.Unlock()
	t := int64(now.Sub(c.origin))
	switch {
	case w.hold == wasGranted:
		w.hold = holdsPlace
		return Entry{}
	case w.hold == wasEvicted:
		w.hold = holdsNothing
		return refused
	case w.queue != nil && t < w.until:
		return c.park(w)
	case w.queue != nil:
		c.line.remove(w)
		return refused
	case c.line.n == 0 && c.running < c.limit():
		c.running++
		w.hold = holdsPlace
		return Entry{}
	case !c.roomFor(&g.queue):
		return refused
	}
	c.line.push(&g.queue, w)
	w.until = t + int64(c.cfg.MaxWait)
	return c.park(w)
}

func (c *Concurrency) park(w *Waiter) Entry {
	return Entry{Verdict: Park, Until: c.origin.Add(time.Duration(w.until))}
}

// roomFor reports whether a call of a pod may wait, and has one of another pod make way if need be.
func (c *Concurrency) roomFor(q *podQueue) bool {
	if c.line.n < c.cfg.MaxQueued {
		return true
	}
	most := c.line.longest()
	if most == nil || most.n <= q.n+1 {
		return false
	}
	w := most.last
	c.line.remove(w)
	w.hold = wasEvicted
	w.wake()
	return true
}

// Leave gives the place of a call back, or ends its wait.
func (g *ConcurrencyGate) Leave(now time.Time, w *Waiter, r Result) {
	c := g.limit
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.queue != nil:
		c.line.remove(w)
	case w.hold == holdsPlace:
		if c.adaptive != nil {
			c.adaptive.add(now.Sub(c.origin), r, c.running)
		}
		c.running--
	case w.hold == wasGranted:
		c.running--
	}
	w.hold = holdsNothing
	c.grant()
}

// grant gives free places to those who wait. It expects the lock.
func (c *Concurrency) grant() {
	for c.running < c.limit() {
		w := c.line.front()
		if w == nil {
			return
		}
		c.line.served(w)
		c.running++
		w.hold = wasGranted
		w.wake()
	}
}
