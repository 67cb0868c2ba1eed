package resilience

import (
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// longestReturn bounds how long an endpoint that was ejected takes to get its whole share of the calls again.
	longestReturn = 10 * time.Second
	// leastWeight is what it begins with.
	leastWeight = 0.1
)

// Endpoint is one of Endpoints, with a breaker of its own.
type Endpoint struct {
	// immutable
	of   *Endpoints
	addr netip.AddrPort

	// atomic
	breaker  atomic.Pointer[Breaker] // nil: no call has gone there yet
	gone     atomic.Bool             // it is none of the endpoints any more
	returned atomic.Int64            // since the origin: when it was let back last; 0: never
	ramp     atomic.Int64            // how long it takes from then on until it has its whole share

	// guarded by of.mu
	group int
	out   bool      // its breaker is not closed
	until time.Time // the end of its open time, while it is out
}

// Allow asks for an attempt. The breaker gets the permit back, as from Breaker.Allow.
func (ep *Endpoint) Allow(now time.Time) (*Breaker, Permit, bool) {
	b := ep.breaker.Load()
	if b == nil {
		b = ep.of.newBreaker(ep)
	}
	p, ok := b.Allow(now)
	return b, p, ok
}

// Takes reports whether the endpoint is one to choose: one that is not out, or has room for a probe. One that was let back a short while ago
// takes a part of the choices: those whose chance, uniform on [0, 1), is below its weight.
func (ep *Endpoint) Takes(now time.Time, chance float64) bool {
	b := ep.breaker.Load()
	switch {
	case b == nil:
		return true
	case stateOf(b.epoch.Load()) == Closed:
		return chance < ep.weight(now)
	}
	return b.admits(now)
}

// Gone reports whether it is none of the endpoints any more.
func (ep *Endpoint) Gone() bool { return ep.gone.Load() }

// weight is the part of an endpoint's share that it gets, while its breaker is closed.
func (ep *Endpoint) weight(now time.Time) float64 {
	returned := ep.returned.Load()
	if returned == 0 {
		return 1
	}
	passed, ramp := now.Sub(ep.of.origin)-time.Duration(returned), time.Duration(ep.ramp.Load())
	if passed >= ramp {
		return 1
	}
	return max(leastWeight, float64(passed)/float64(ramp))
}

// comesBack has the endpoint get its share gradually: in the time for which it was out, at most longestReturn.
func (ep *Endpoint) comesBack(now time.Time, wasOut time.Duration) {
	ramp, since := min(wasOut, longestReturn), max(now.Sub(ep.of.origin), 1)
	ep.ramp.Store(int64(ramp))
	ep.returned.Store(int64(since))
	for end := int64(since + ramp); ; {
		old := ep.of.returning.Load()
		if end <= old || ep.of.returning.CompareAndSwap(old, end) {
			return
		}
	}
}

// letBack closes the endpoint's breaker, whatever it has found out: it is needed.
func (ep *Endpoint) letBack(now time.Time) {
	b := ep.breaker.Load()
	b.mu.Lock()
	defer b.mu.Unlock()
	if stateOf(b.epoch.Load()) != Closed {
		b.close(now)
	}
}

// eject asks whether the endpoint's breaker may open, which is closed: as many may be out as the policy says, and one of each group never is.
// If so, the endpoint counts as out. It is called with the breaker's lock held, as is entered.
func (ep *Endpoint) eject(why Cause) bool {
	e := ep.of
	e.mu.Lock()
	defer e.mu.Unlock()
	if ep.gone.Load() {
		return false
	}
	if g := &e.groups[ep.group]; g.out >= e.mayBeOut(g.size) {
		e.prevented++
		e.wanting.Store(true)
		return false
	}
	e.setOut(ep, true)
	e.ejections[why]++
	return true
}

// entered notes that the endpoint's breaker has changed its state.
func (ep *Endpoint) entered(s State, until time.Time) {
	e := ep.of
	e.mu.Lock()
	defer e.mu.Unlock()
	switch s {
	case Closed:
		if ep.out {
			e.setOut(ep, false)
		}
	case Open:
		ep.until = until
	case HalfOpen:
	}
}

// failedProbe counts that the endpoint stays out for longer.
func (ep *Endpoint) failedProbe() {
	ep.of.mu.Lock()
	defer ep.of.mu.Unlock()
	ep.of.ejections[FailedProbe]++
}
