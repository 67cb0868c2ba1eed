package resilience

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// State is where a Breaker stands.
type State uint8

// The breaker states.
const (
	// Closed: calls pass and are counted.
	Closed State = iota
	// Open: calls are rejected until the open time is over.
	Open
	// HalfOpen: a bounded number of calls passes to probe the upstream, the others are rejected.
	HalfOpen
)

// String returns the state as metrics and statuses show it.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	}
	return "unknown"
}

// Permit is the leave to make one try. The zero Permit is none. Every Permit goes back exactly once, to Done or to Cancel.
type Permit struct{ word uint64 }

// Held reports whether p is a leave that has to go back.
func (p Permit) Held() bool { return p.word != 0 }

// Result is how a permitted try ended.
type Result struct {
	// Failed: the try ended in one of the breaker's failure conditions.
	Failed bool
	// Took is the time from dispatch to the end of the try.
	Took time.Duration
}

// Status is what a Breaker tells of itself.
type Status struct {
	State State
	// Until is the end of the open time; zero unless State is Open.
	Until time.Time
	// Since is when State began; zero if that is Closed.
	Since time.Time
	// Opened counts how often the breaker has opened.
	Opened uint64
}

// Breaker decides whether a destination may receive a try (semantics rules 22 and 23). It is exact under concurrency: while
// half-open never more than the configured probes are under way. Tries that began before the last change of state have no
// say any more. Closed, a call costs one atomic load to enter.
type Breaker struct {
	// atomic
	word atomic.Uint64 // generation<<2 | State; the generation grows with every change of state and is never 0

	mu sync.Mutex // guards everything below
	// configuration, replaced by Reconfigure
	cfg    policy.Breaker
	random func() float64 // only called under mu

	consecutive int
	errors      window
	slow        window

	openedAt  time.Time
	openUntil time.Time
	openFor   time.Duration // of the open period under way or last, before jitter
	probing   int
	successes int
	opened    uint64
}

// NewBreaker returns a closed Breaker. It calls random, which returns values in [0, 1), under its own lock only.
func NewBreaker(cfg *policy.Breaker, random func() float64) *Breaker {
	b := &Breaker{random: random}
	b.configure(cfg)
	b.enter(Closed)
	return b
}

// Reconfigure puts cfg in force. A breaker whose block did not change keeps its state; otherwise it starts again, closed.
func (b *Breaker) Reconfigure(cfg *policy.Breaker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sameBreaker(&b.cfg, cfg) {
		return
	}
	b.configure(cfg)
	b.openFor = 0
	b.enter(Closed)
}

func (b *Breaker) configure(cfg *policy.Breaker) {
	b.cfg = *cfg
	b.errors, b.slow = window{}, window{}
	if e := cfg.ErrorRate; e != nil {
		b.errors.span = e.Window
	}
	if s := cfg.SlowCalls; s != nil {
		b.slow.span = s.Window
	}
}

// Allow asks for a try at now. When it says yes, the Permit must go back to Done or Cancel.
func (b *Breaker) Allow(now time.Time) (Permit, bool) {
	if w := b.word.Load(); stateOf(w) == Closed {
		return Permit{w}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch stateOf(b.word.Load()) {
	case Closed:
		return Permit{b.word.Load()}, true
	case Open:
		if now.Before(b.openUntil) {
			return Permit{}, false
		}
		b.enter(HalfOpen)
	case HalfOpen:
	}
	if b.probing >= max(b.cfg.Probes, 1) {
		return Permit{}, false
	}
	b.probing++
	return Permit{b.word.Load()}, true
}

// Cancel gives a Permit back without a verdict on the upstream: the client left, or the try was never made.
func (b *Breaker) Cancel(p Permit) {
	if stateOf(p.word) != HalfOpen {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() == p.word {
		b.probing--
	}
}

// Done gives a Permit back with the result of its try.
func (b *Breaker) Done(now time.Time, p Permit, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() != p.word {
		return
	}
	if stateOf(p.word) == HalfOpen {
		b.probed(now, r)
		return
	}
	if b.record(now, r) {
		b.open(now)
	}
}

// Status tells how b stands at now. An open time that is over shows as half-open: the next call will pass.
func (b *Breaker) Status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{State: stateOf(b.word.Load()), Opened: b.opened}
	switch s.State {
	case Open:
		s.Since, s.Until = b.openedAt, b.openUntil
		if !now.Before(b.openUntil) {
			s = Status{State: HalfOpen, Since: b.openUntil, Opened: b.opened}
		}
	case HalfOpen:
		s.Since = b.openUntil
	case Closed:
	}
	return s
}

// record counts a result in the closed state and reports whether a trigger fires.
func (b *Breaker) record(now time.Time, r Result) bool {
	trip := false
	if r.Failed {
		b.consecutive++
		trip = b.cfg.ConsecutiveFailures > 0 && b.consecutive >= b.cfg.ConsecutiveFailures
	} else {
		b.consecutive = 0
	}
	if e := b.cfg.ErrorRate; e != nil {
		b.errors.add(now, r.Failed)
		trip = b.errors.reached(e.Percent, e.MinimumRequests) || trip
	}
	if s := b.cfg.SlowCalls; s != nil {
		b.slow.add(now, r.Took > s.Threshold)
		trip = b.slow.reached(s.Percent, s.MinimumRequests) || trip
	}
	return trip
}

// probed judges a probe in the half-open state: one failure opens again, for longer; enough successes close.
func (b *Breaker) probed(now time.Time, r Result) {
	b.probing--
	slow := b.cfg.SlowCalls != nil && r.Took > b.cfg.SlowCalls.Threshold
	if r.Failed || slow {
		b.open(now)
		return
	}
	if b.successes++; b.successes >= b.cfg.SuccessesToClose {
		b.openFor = 0
		b.enter(Closed)
	}
}

// open starts an open period: the first lasts OpenDuration, one that follows a failed probe twice the one before.
func (b *Breaker) open(now time.Time) {
	limit := max(b.cfg.OpenMaxDuration, b.cfg.OpenDuration)
	switch {
	case b.openFor == 0:
		b.openFor = b.cfg.OpenDuration
	case b.openFor > limit/2:
		b.openFor = limit
	default:
		b.openFor *= 2
	}
	jitter := float64(b.openFor) * float64(b.cfg.OpenJitterPercent) / 100 * (2*b.random() - 1)
	b.openedAt, b.openUntil = now, now.Add(b.openFor+time.Duration(jitter))
	b.opened++
	b.enter(Open)
}

// enter changes the state; results of tries permitted before are ignored from here on.
func (b *Breaker) enter(s State) {
	b.consecutive, b.probing, b.successes = 0, 0, 0
	b.errors.reset()
	b.slow.reset()
	b.word.Store((b.word.Load()>>2+1)<<2 | uint64(s))
}

func stateOf(word uint64) State { return State(word & 3) }

// sameBreaker reports whether two blocks say the same, what they count as failures included.
func sameBreaker(a, b *policy.Breaker) bool {
	if !sameValue(a.ErrorRate, b.ErrorRate) || !sameValue(a.SlowCalls, b.SlowCalls) {
		return false
	}
	if !slices.Equal(a.FailureGRPC, b.FailureGRPC) || !slices.Equal(a.FailureStatus, b.FailureStatus) {
		return false
	}
	return a.ConsecutiveFailures == b.ConsecutiveFailures && a.FailureOn == b.FailureOn &&
		a.OpenDuration == b.OpenDuration && a.OpenMaxDuration == b.OpenMaxDuration && a.OpenJitterPercent == b.OpenJitterPercent &&
		a.Probes == b.Probes && a.SuccessesToClose == b.SuccessesToClose &&
		a.Scope == b.Scope && a.MaxEjectedPercent == b.MaxEjectedPercent && a.Sharing == b.Sharing
}

func sameValue[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
