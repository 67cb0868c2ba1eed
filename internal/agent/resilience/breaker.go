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
type Permit struct {
	word  uint64
	probe uint64 // names the probe; 0: the breaker was closed
}

// Held reports whether p is a leave that has to go back.
func (p Permit) Held() bool { return p.word != 0 }

// Result is how a permitted try ended.
type Result struct {
	// Failed: the try ended in one of the breaker's failure conditions.
	Failed bool
	// Took is how long the upstream was waited for.
	Took time.Duration
	// GivenUp: the caller left before the try ended. It counts as slow if it was, and as neither a failure nor a success.
	GivenUp bool
}

// Status is what a Breaker tells of itself.
type Status struct {
	State State
	// Since is when the state began; zero while closed.
	Since time.Time
	// Until is the end of the open time; zero unless State is Open.
	Until time.Time
	// Opened counts how often the breaker has opened.
	Opened uint64
}

// Breaker decides whether a destination may receive a try (rules 22 and 23). It is exact under concurrency: while
// half-open never more than the configured probes are under way, but for those that take longer than a probe may: nobody knows
// whether they ever end, so they keep no other out. What they find still counts as long as the state is the same. Tries that
// began before the last change of state have no say any more. Closed, a call costs one atomic load to enter.
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

	openUntil time.Time
	openFor   time.Duration // of the open period under way or last, before jitter
	since     time.Time     // when it opened last
	asked     time.Time     // when a probe began or ended last
	probes    []probe       // under way and not overdue, oldest first
	lastProbe uint64        // names them
	successes int
	opened    uint64

	tryLimit time.Duration // see SetTryLimit
}

// probe is a try in the half-open state.
type probe struct {
	id    uint64
	began time.Time
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

// SetTryLimit says how long a try may take by policy (timeouts.perTry; 0: no limit). A probe may take as long as that, and at
// least as long as the breaker stays open, before it no longer keeps others out.
func (b *Breaker) SetTryLimit(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tryLimit = d
}

func (b *Breaker) configure(cfg *policy.Breaker) {
	b.cfg = *cfg
	b.probes = make([]probe, 0, b.places())
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
		return Permit{word: w}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lapse(now)
	switch stateOf(b.word.Load()) {
	case Closed:
		return Permit{word: b.word.Load()}, true
	case Open:
		if now.Before(b.openUntil) {
			return Permit{}, false
		}
		b.enter(HalfOpen)
	case HalfOpen:
		b.giveUpProbes(now)
	}
	if len(b.probes) >= b.places() {
		return Permit{}, false
	}
	b.lastProbe++
	b.probes = append(b.probes, probe{b.lastProbe, now})
	b.asked = now
	return Permit{b.word.Load(), b.lastProbe}, true
}

// places is how many probes may be under way at once.
func (b *Breaker) places() int { return max(b.cfg.Probes, 1) }

// giveUpProbes frees the places of probes that take longer than one may.
func (b *Breaker) giveUpProbes(now time.Time) {
	limit := max(b.cfg.OpenDuration, b.tryLimit)
	overdue := 0
	for overdue < len(b.probes) && now.Sub(b.probes[overdue].began) > limit {
		overdue++
	}
	b.probes = slices.Delete(b.probes, 0, overdue)
}

// back takes a probe from those under way, unless it was overdue.
func (b *Breaker) back(p Permit) {
	b.probes = slices.DeleteFunc(b.probes, func(o probe) bool { return o.id == p.probe })
}

// lapse forgets an open period that ended long ago and was not followed by a call: what it was about is no longer known, and a
// crowd that comes now is not to be rejected for it.
func (b *Breaker) lapse(now time.Time) {
	if stateOf(b.word.Load()) == Closed || now.Sub(b.quietSince()) <= 2*b.longestOpen() {
		return
	}
	b.openFor = 0
	b.enter(Closed)
}

// quietSince is when the breaker was last of use: when its open time ends, or a probe began or ended after that.
func (b *Breaker) quietSince() time.Time {
	if b.asked.After(b.openUntil) {
		return b.asked
	}
	return b.openUntil
}

func (b *Breaker) longestOpen() time.Duration { return max(b.cfg.OpenMaxDuration, b.cfg.OpenDuration) }

// Cancel gives a Permit back without a verdict on the upstream: the client left, or the try was never made.
func (b *Breaker) Cancel(p Permit) {
	if p.probe == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() == p.word {
		b.back(p)
	}
}

// Done gives a Permit back with the result of its try.
func (b *Breaker) Done(now time.Time, p Permit, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() != p.word {
		return
	}
	if p.probe != 0 {
		b.back(p)
		b.probed(now, r)
		return
	}
	if b.record(now, r) {
		b.open(now)
	}
}

// Status tells how b stands at now. An open time that is over shows as half-open: the next call will pass. When no probe is under
// way, and none has been for as long as the breaker was open, it shows as closed: nobody asks, so nobody is rejected.
func (b *Breaker) Status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lapse(now)
	b.giveUpProbes(now)
	s := Status{State: stateOf(b.word.Load()), Opened: b.opened}
	switch {
	case s.State == Closed:
	case s.State == Open && now.Before(b.openUntil):
		s.Since, s.Until = b.since, b.openUntil
	case len(b.probes) > 0 || now.Sub(b.quietSince()) < b.openFor:
		s.State, s.Since = HalfOpen, b.openUntil
	default:
		s.State = Closed
	}
	return s
}

// record counts a result in the closed state and reports whether a trigger fires.
func (b *Breaker) record(now time.Time, r Result) bool {
	trip := false
	switch {
	case r.GivenUp:
	case r.Failed:
		b.consecutive++
		trip = b.cfg.ConsecutiveFailures > 0 && b.consecutive >= b.cfg.ConsecutiveFailures
	default:
		b.consecutive = 0
	}
	if e := b.cfg.ErrorRate; e != nil && !r.GivenUp {
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
	b.asked = now
	slow := b.cfg.SlowCalls != nil && r.Took > b.cfg.SlowCalls.Threshold
	if r.Failed || slow {
		b.open(now)
		return
	}
	if r.GivenUp {
		return
	}
	if b.successes++; b.successes >= b.cfg.SuccessesToClose {
		b.openFor = 0
		b.enter(Closed)
	}
}

// open starts an open period: the first lasts OpenDuration, one that follows a failed probe twice the one before.
func (b *Breaker) open(now time.Time) {
	limit := b.longestOpen()
	switch {
	case b.openFor == 0:
		b.openFor = b.cfg.OpenDuration
	case b.openFor > limit/2:
		b.openFor = limit
	default:
		b.openFor *= 2
	}
	jitter := float64(b.openFor) * float64(b.cfg.OpenJitterPercent) / 100 * (2*b.random() - 1)
	b.openUntil = now.Add(b.openFor + time.Duration(jitter))
	b.opened++
	b.since = now
	b.enter(Open)
}

// enter changes the state; results of tries permitted before are ignored from here on.
func (b *Breaker) enter(s State) {
	b.consecutive, b.successes, b.probes = 0, 0, b.probes[:0]
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
