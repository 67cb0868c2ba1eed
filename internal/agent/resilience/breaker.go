package resilience

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Breaker decides whether a destination may receive an attempt (rules 22 and 23). It is exact under concurrency: while
// half-open never more than the configured probes are under way, but for those that take longer than a probe may: nobody knows
// whether they ever end, so they keep no other out. What they find still counts as long as the state is the same. Attempts that
// began before the last change of state have no say any more. Closed, a call costs one atomic load to enter; and no lock to report a
// success that cannot change the state.
type Breaker struct {
	// immutable after NewBreaker
	origin   time.Time // other times are counted from here
	endpoint *Endpoint // whose it is; nil: the whole destination's

	// atomic; read by every call, written at a change of state and by failures
	epoch    atomic.Uint64 // generation<<2 | State; the generation grows with every change of state and is never 0
	quiet    atomic.Int64  // before this time, successes change nothing but the windows
	triggers atomic.Pointer[triggers]
	good     atomic.Int64 // when an attempt ended well last, about; 0: none has. Only where the cluster shares the breaker
	_        [64]byte

	mu sync.Mutex // guards everything below
	// configuration, replaced by Reconfigure
	cfg    policy.Breaker
	random func() float64 // only called under mu

	consecutive int

	openUntil time.Time
	openFor   time.Duration // of the open period under way or last, before jitter
	since     time.Time     // when it opened last
	asked     time.Time     // when a probe began, ended or became overdue last
	probes    []probe       // under way and not overdue, oldest first
	lastProbe uint64        // names them
	closed    time.Time     // when it closed last; of an endpoint's alone
	successes int
	opened    uint64

	attemptLimit time.Duration // see SetAttemptLimit

	shared sharing
	forced Forced
}

// probe is an attempt in the half-open state.
type probe struct {
	id    uint64
	began time.Time
}

// NewBreaker returns a closed Breaker. Times given to it later are read relative to now. It calls random, which returns values
// in [0, 1), under its own lock only.
func NewBreaker(cfg *policy.Breaker, now time.Time, random func() float64) *Breaker {
	b := &Breaker{origin: now, random: random}
	b.configure(cfg)
	b.enter(Closed)
	return b
}

// Reconfigure puts cfg in force. A breaker whose block did not change keeps its state; otherwise it starts again, closed.
func (b *Breaker) Reconfigure(cfg *policy.Breaker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if policy.SameBreaker(&b.cfg, cfg) {
		return
	}
	b.configure(cfg)
	b.openFor, b.shared.held = 0, false
	if b.forced.Open {
		b.enter(Open)
	} else {
		b.enter(Closed)
	}
}

// SetAttemptLimit says how long an attempt may take by policy (timeouts.perTry; 0: no limit). A probe may take as long as that,
// and at least as long as the breaker stays open, before it no longer keeps others out.
func (b *Breaker) SetAttemptLimit(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attemptLimit = d
}

func (b *Breaker) configure(cfg *policy.Breaker) {
	b.cfg = *cfg
	b.probes = make([]probe, 0, b.places())
	b.shared.on = cfg.Sharing == policy.ShareCluster
}

// Allow asks for an attempt at now. If it is allowed, the Permit must be given back by Done or Cancel.
func (b *Breaker) Allow(now time.Time) (Permit, bool) {
	if e := b.epoch.Load(); stateOf(e) == Closed {
		return Permit{epoch: e}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.passes(now) {
		b.shared.refused = now
		return Permit{}, false
	}
	switch stateOf(b.epoch.Load()) {
	case Closed:
		return Permit{epoch: b.epoch.Load()}, true
	case Open:
		b.shared.held = false
		b.enter(HalfOpen)
	case HalfOpen:
	}
	b.lastProbe++
	b.probes = append(b.probes, probe{b.lastProbe, now})
	b.asked = now
	return Permit{b.epoch.Load(), b.lastProbe}, true
}

// admits reports whether Allow would allow an attempt, which is then still to be asked.
func (b *Breaker) admits(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.passes(now)
}

// passes reports whether an attempt is allowed at now: any while closed, a probe when the open time is over, and while half-open as many as there
// are places for. It expects the lock.
func (b *Breaker) passes(now time.Time) bool {
	b.giveUpProbes(now)
	b.lapse(now)
	switch stateOf(b.epoch.Load()) {
	case Closed:
		return true
	case Open:
		return !b.forcedOpen(now) && !b.holds(now) && !now.Before(b.openUntil)
	case HalfOpen:
	}
	return len(b.probes) < b.places()
}

// places is how many probes may be under way at once.
func (b *Breaker) places() int { return max(b.cfg.Probes, 1) }

// giveUpProbes frees the places of probes that take longer than one may.
func (b *Breaker) giveUpProbes(now time.Time) {
	limit := max(b.cfg.OpenDuration, b.attemptLimit)
	overdue := 0
	for overdue < len(b.probes) && now.Sub(b.probes[overdue].began) > limit {
		if until := b.probes[overdue].began.Add(limit); until.After(b.asked) {
			b.asked = until
		}
		overdue++
	}
	b.probes = slices.Delete(b.probes, 0, overdue)
}

// back takes a probe from those under way, unless it was overdue.
func (b *Breaker) back(p Permit) {
	b.probes = slices.DeleteFunc(b.probes, func(o probe) bool { return o.id == p.probe })
}

// lapse forgets an open period that ended long ago and was not followed by a call: what it was about is no longer known, and a
// crowd that comes now is not to be rejected for it. While a probe is under way that is not overdue, its result is waited for.
func (b *Breaker) lapse(now time.Time) {
	b.endForce(now)
	if b.forcedOpen(now) || b.holds(now) {
		return
	}
	if stateOf(b.epoch.Load()) == Closed || len(b.probes) > 0 || now.Sub(b.quietSince()) <= 2*b.cfg.LongestOpen() {
		return
	}
	b.close(now)
	b.openFor = 0
}

// quietSince is when the breaker was last of use: when its open time ends, or a probe began, ended or became overdue after that.
func (b *Breaker) quietSince() time.Time {
	if b.asked.After(b.openUntil) {
		return b.asked
	}
	return b.openUntil
}

// Cancel gives a Permit back without a verdict on the upstream: the client left, or the attempt was never made.
func (b *Breaker) Cancel(p Permit) {
	if p.probe == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch.Load() == p.epoch {
		b.back(p)
	}
}

// Done gives a Permit back with the result of its attempt. Results that come at the same moment count in any order.
func (b *Breaker) Done(now time.Time, p Permit, r Result) {
	if b.counts(now, p, r) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch.Load() != p.epoch {
		return
	}
	if p.probe != 0 {
		b.back(p)
		b.probed(now, r)
		return
	}
	b.count(now, r)
}

// Note records the result of an attempt whose permit has gone back already. It counts while b is closed.
func (b *Breaker) Note(now time.Time, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stateOf(b.epoch.Load()) == Closed {
		b.count(now, r)
	}
}

// count takes a result in the closed state. While b is kept closed by hand nothing counts, so that it counts from the beginning when that is over.
func (b *Breaker) count(now time.Time, r Result) {
	if !b.forcedClosed(now) && b.record(now, r) {
		b.trip(now)
	}
}

// Status tells how b stands at now. An open time that is over shows as half-open: the next call will pass. When no probe is under
// way, and none has been for as long as the breaker was open, it shows as closed: as no call came, none was rejected.
func (b *Breaker) Status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveUpProbes(now)
	b.lapse(now)
	s := Status{State: stateOf(b.epoch.Load()), Opened: b.opened}
	switch {
	case s.State == Closed:
	case b.forcedOpen(now):
		s.Since, s.Until = b.since, b.forced.Until
	case s.State == Open && b.holds(now):
		s.Since, s.Until = b.since, later(b.openUntil, now)
	case s.State == Open && now.Before(b.openUntil):
		s.Since, s.Until = b.since, b.openUntil
	case len(b.probes) > 0 || now.Sub(b.quietSince()) < b.openFor:
		s.State, s.Since = HalfOpen, b.openUntil
	default:
		s.State = Closed
	}
	return s
}

// counts counts a success that cannot change the state, and reports whether the result is one.
func (b *Breaker) counts(now time.Time, p Permit, r Result) bool {
	t, since := b.triggers.Load(), now.Sub(b.origin)
	if p.probe != 0 || r.Failed || r.GivenUp || t.isSlow(r.Took) || int64(since) >= b.quiet.Load() {
		return false
	}
	// The triggers were read first: those of a later state are stored after its epoch.
	if b.epoch.Load() == p.epoch {
		t.succeeds(since, r.Shard)
		if t.shared {
			b.seenGood(since)
		}
	}
	return true
}

// record counts a result in the closed state and reports whether a trigger fires.
func (b *Breaker) record(now time.Time, r Result) (fires bool) {
	b.quiet.Store(0)
	quiet := forever
	switch {
	case r.GivenUp:
	case r.Failed:
		b.shared.bad = max(1, now.Sub(b.origin))
		b.consecutive++
		fires = b.cfg.ConsecutiveFailures > 0 && b.consecutive >= b.cfg.ConsecutiveFailures
	default:
		b.consecutive = 0
		b.seenGood(now.Sub(b.origin))
	}
	if b.consecutive > 0 {
		quiet = 0
	}
	windows, until := b.triggers.Load().record(now.Sub(b.origin), r)
	b.quiet.Store(int64(min(quiet, until)))
	return fires || windows
}

// probed takes the result of a probe in the half-open state: one failure opens again, for longer; enough successes close.
func (b *Breaker) probed(now time.Time, r Result) {
	b.asked = now
	slow := b.cfg.SlowCalls != nil && r.Took > b.cfg.SlowCalls.Threshold
	if r.Failed || slow {
		if b.endpoint != nil {
			b.endpoint.failedProbe()
		}
		b.open(now)
		return
	}
	if r.GivenUp {
		return
	}
	b.seenGood(now.Sub(b.origin))
	if b.successes++; b.successes >= b.cfg.SuccessesToClose {
		b.close(now)
	}
}

// open starts an open period.
func (b *Breaker) open(now time.Time) {
	b.openFor = b.cfg.NextOpen(b.openFor)
	b.openUntil = now.Add(b.cfg.JitterOpen(b.openFor, b.random()))
	b.opened++
	b.since = now
	b.enter(Open)
}

// enter changes the state; results of attempts permitted before are ignored from here on.
func (b *Breaker) enter(s State) {
	b.consecutive, b.successes, b.probes = 0, 0, b.probes[:0]
	b.epoch.Store((b.epoch.Load()>>2+1)<<2 | uint64(s))
	if s == Closed {
		b.shared.held = false
		b.triggers.Store(newTriggers(&b.cfg))
		b.quiet.Store(int64(b.quietAtFirst()))
	}
	if b.endpoint != nil {
		b.endpoint.entered(s, b.openUntil)
	}
}

// quietAtFirst is until when successes change nothing in a closed state that begins: for ever, or, while b is kept closed by hand, never, since they are
// not to count.
func (b *Breaker) quietAtFirst() time.Duration {
	if !b.forced.Open && !b.forced.Until.IsZero() {
		return 0
	}
	return forever
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func stateOf(epoch uint64) State { return State(epoch & 3) }
