package resilience

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Cause is why an endpoint is out.
type Cause uint8

// The causes.
const (
	// ConsecutiveFailures, ErrorRate and SlowCalls: the trigger that has fired.
	ConsecutiveFailures Cause = iota
	ErrorRate
	SlowCalls
	// FailedProbe: it was out, and what was to find out whether it is well again has failed.
	FailedProbe
	// CauseCount is the number of causes.
	CauseCount
)

// String returns the cause as metrics show it.
func (c Cause) String() string {
	switch c {
	case ConsecutiveFailures:
		return "consecutive_failures"
	case ErrorRate:
		return "error_rate"
	case SlowCalls:
		return "slow_calls"
	case FailedProbe:
		return "failed_probe"
	case CauseCount:
	}
	return "unknown"
}

// Endpoints are the endpoints of a destination, each with a breaker of its own (circuitBreaker.scope: Endpoint). One whose breaker is not closed
// is out: it is not to be chosen, but for probes. In groups, of which each can stand in for its own alone, no more are out than the policy says,
// and one of each is always in: where a breaker would open beyond that it stays closed, and its next failure asks again.
//
// A breaker here differs from that of a destination in three things: it asks before it opens; what is open grows with each time that follows
// soon after another one, and not with failed probes alone; and an endpoint that is let back gets its share gradually.
type Endpoints struct {
	// immutable
	origin time.Time // other times are counted from here
	random func() float64

	// atomic
	all       atomic.Pointer[map[netip.AddrPort]*Endpoint]
	out       atomic.Int32 // endpoints
	returning atomic.Int64 // since the origin: until when some endpoint has less than its share
	wanting   atomic.Bool  // see Wanting

	mu sync.Mutex // is taken while the lock of a breaker is held, never the other way around
	// guarded by mu
	cfg          policy.Breaker
	attemptLimit time.Duration
	forced       Forced
	groups       []group
	ejections    [CauseCount]uint64
	prevented    uint64
}

// group are endpoints that can stand in for each other.
type group struct{ size, out int }

// NewEndpoints returns the endpoints of a destination of which none is known yet. random, which returns values in [0, 1), may be called by many
// at once.
func NewEndpoints(cfg *policy.Breaker, now time.Time, random func() float64) *Endpoints {
	e := &Endpoints{origin: now, random: random, cfg: *cfg}
	e.all.Store(&map[netip.AddrPort]*Endpoint{})
	return e
}

// Of returns an endpoint, or nil if the address is none of them. e may be nil.
func (e *Endpoints) Of(addr netip.AddrPort) *Endpoint {
	if e == nil {
		return nil
	}
	return (*e.all.Load())[addr]
}

// maxJoined bounds how many endpoints there can be with those that were added one by one.
const maxJoined = 64

// Join returns an endpoint, which is added if there is no such one, to the group of its family: one of the other cannot stand in for it. nil if there are
// too many.
func (e *Endpoints) Join(addr netip.AddrPort) *Endpoint {
	if ep := e.Of(addr); ep != nil {
		return ep
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := *e.all.Load()
	if ep := all[addr]; ep != nil || len(all) >= maxJoined {
		return ep
	}
	all = maps.Clone(all)
	family := 0
	if !addr.Addr().Unmap().Is4() {
		family = 1
	}
	all[addr] = &Endpoint{of: e, addr: addr, group: family}
	for len(e.groups) <= family {
		e.groups = append(e.groups, group{})
	}
	e.groups[family].size++
	e.all.Store(&all)
	return all[addr]
}

// Differ reports whether it matters which endpoint is chosen: one is out, or has less than its share. e may be nil: then it does not.
func (e *Endpoints) Differ(now time.Time) bool {
	return e != nil && (e.out.Load() > 0 || int64(now.Sub(e.origin)) < e.returning.Load())
}

// Out is how many endpoints are out. e may be nil.
func (e *Endpoints) Out() int {
	if e == nil {
		return 0
	}
	return int(e.out.Load())
}

// Wanting reports whether more would be out if there were more endpoints than were known when SetMembers was called last.
func (e *Endpoints) Wanting() bool { return e.wanting.Load() }

// SetMembers says which endpoints there are. What is known of those that stay is kept; of those that go, forgotten. If fewer are left than can do
// without those that are out, some of these are let back, those first whose open time ends first.
func (e *Endpoints) SetMembers(now time.Time, groups ...[]netip.AddrPort) {
	for _, ep := range e.regroup(groups) {
		ep.letBack(now)
	}
}

// regroup is SetMembers but for letting endpoints back: those it returns.
func (e *Endpoints) regroup(groups [][]netip.AddrPort) (surplus []*Endpoint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, next := *e.all.Load(), map[netip.AddrPort]*Endpoint{}
	e.groups = make([]group, len(groups))
	for g, addrs := range groups {
		for _, a := range addrs {
			if next[a] != nil {
				continue // named twice
			}
			ep := old[a]
			if ep == nil {
				ep = &Endpoint{of: e, addr: a}
			}
			next[a], ep.group = ep, g
			e.groups[g].size++
			if ep.out {
				e.groups[g].out++
			}
		}
	}
	for a, ep := range old {
		if next[a] == nil {
			ep.gone.Store(true)
			if ep.out {
				ep.out = false
				e.out.Add(-1)
			}
		}
	}
	e.all.Store(&next)
	e.wanting.Store(false)
	return e.surplus(next)
}

// surplus lists those that are out and must not be. This and the functions below expect the lock.
func (e *Endpoints) surplus(all map[netip.AddrPort]*Endpoint) (surplus []*Endpoint) {
	for g := range e.groups {
		n := e.groups[g].out - e.mayBeOut(e.groups[g].size)
		if n <= 0 {
			continue
		}
		var out []*Endpoint
		for _, ep := range all {
			if ep.group == g && ep.out {
				out = append(out, ep)
			}
		}
		slices.SortFunc(out, func(a, b *Endpoint) int { return cmp.Or(a.until.Compare(b.until), a.addr.Compare(b.addr)) })
		surplus = append(surplus, out[:n]...)
	}
	return surplus
}

// mayBeOut is how many of n may be out at a time.
func (e *Endpoints) mayBeOut(n int) int {
	return max(min(n*e.cfg.MaxEjectedPercent/100, n-1), 0)
}

func (e *Endpoints) setOut(ep *Endpoint, out bool) {
	by := 1
	if ep.out = out; !out {
		by = -1
	}
	e.groups[ep.group].out += by
	e.out.Add(int32(by))
}

// newBreaker makes the breaker of an endpoint that has none.
func (e *Endpoints) newBreaker(ep *Endpoint) *Breaker {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := ep.breaker.Load(); b != nil { // made meanwhile
		return b
	}
	b := &Breaker{origin: e.origin, random: e.random, attemptLimit: e.attemptLimit}
	b.configure(&e.cfg)
	b.forced = e.forced
	b.enter(Closed)
	b.endpoint = ep // not before: the lock is held
	ep.breaker.Store(b)
	return b
}

// Reconfigure puts cfg, and how long an attempt may take (see Breaker.SetAttemptLimit), in force. Where the block did not change all keep their
// state; otherwise they start again, all let in.
func (e *Endpoints) Reconfigure(cfg *policy.Breaker, limit time.Duration) {
	e.change(func() { e.cfg, e.attemptLimit = *cfg, limit }, func(b *Breaker) {
		b.Reconfigure(cfg)
		b.SetAttemptLimit(limit)
	})
}

// change changes what breakers that are made from now on go by, under the lock, and those that there are, without it.
func (e *Endpoints) change(do func(), each func(*Breaker)) {
	for _, ep := range e.afterwards(do) {
		if b := ep.breaker.Load(); b != nil {
			each(b)
		}
	}
}

// afterwards does something under the lock and returns the endpoints that there are then.
func (e *Endpoints) afterwards(do func()) map[netip.AddrPort]*Endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
	return *e.all.Load()
}

// Force keeps all in, if f says so, in place of what was said before.
func (e *Endpoints) Force(now time.Time, f Forced) {
	e.change(func() { e.forced = f }, func(b *Breaker) { b.Force(now, f) })
}

// EndpointStatus is what Endpoints tell of one.
type EndpointStatus struct {
	Addr netip.AddrPort
	Status
	// Weight is the part of its share that it gets: 1 is all of it; 0 while it is out.
	Weight float64
}

// EndpointsStatus is what Endpoints tell of themselves.
type EndpointsStatus struct {
	// Used are those that calls have gone to, ordered by address.
	Used []EndpointStatus
	// Ejections counts by cause how often one was put out.
	Ejections [CauseCount]uint64
	// Prevented counts how often a trigger fired of one that had to stay in.
	Prevented uint64
}

// Status tells how the endpoints stand at now.
func (e *Endpoints) Status(now time.Time) EndpointsStatus {
	var s EndpointsStatus
	for addr, ep := range *e.all.Load() {
		b := ep.breaker.Load()
		if b == nil {
			continue
		}
		one := EndpointStatus{Addr: addr, Status: b.Status(now)}
		if one.State == Closed {
			one.Weight = ep.weight(now)
		}
		s.Used = append(s.Used, one)
	}
	slices.SortFunc(s.Used, func(a, b EndpointStatus) int { return a.Addr.Compare(b.Addr) })
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Ejections, s.Prevented = e.ejections, e.prevented
	return s
}
