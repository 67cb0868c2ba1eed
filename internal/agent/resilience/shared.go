package resilience

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// lately is how long what a node has seen of a destination counts for others.
const lately = 10 * time.Second

// clearly is how long after a success failures alone do not say that nothing works.
const clearly = time.Second

// surely is how many attempts in a row have failed when a node says that nothing works: of calls of which a quarter fails anyway, so many in a row do
// once in a million times. A node that calls seldom says nothing before, neither that it works nor that it does not.
const surely = 10

// asksLately is how long after a refused call calls are taken to come still.
const asksLately = 2 * time.Second

// sharing is what a breaker keeps that the cluster shares. It is guarded by Breaker.mu but for good.
type sharing struct {
	on     bool
	number uint64 // of the verdict that it goes by; 0: none
	// held: a verdict keeps it open, until holdUntil unless it is heard of again.
	held      bool
	holdUntil time.Time
	refused   time.Time     // when a call was refused last
	bad       time.Duration // when an attempt failed last, since the breaker's origin; 0: none did
}

// seenGood notes a success, every tenth of a second at most, so that calls of several cores do not write to one place all the time.
func (b *Breaker) seenGood(since time.Duration) {
	if last := b.good.Load(); int64(since)-last > int64(100*time.Millisecond) || last == 0 {
		b.good.Store(max(1, int64(since)))
	}
}

// Shared reports whether the cluster shares b.
func (b *Breaker) Shared() bool { return b.triggers.Load().shared }

// Obey has a breaker that the cluster shares do what the manager has decided.
func (b *Breaker) Obey(now time.Time, v policy.BreakerVerdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.shared.on {
		return
	}
	again := b.shared.number == v.Number
	b.shared.number = v.Number
	b.endForce(now)
	if b.forced.active(now) {
		return
	}
	switch v.Order {
	case policy.BreakerOpen:
		b.keepOpen(now, v, again)
	case policy.BreakerProbe:
		if !again {
			b.shared.held = false
			b.openUntil, b.asked = now, now
			b.enter(HalfOpen)
		}
	case policy.BreakerClose:
		if !again {
			b.openFor = 0
			b.enter(Closed)
		}
	}
}

// keepOpen opens b because the cluster has, or keeps it open if that is known already.
func (b *Breaker) keepOpen(now time.Time, v policy.BreakerVerdict, again bool) {
	limit := 2 * b.cfg.LongestOpen() // jitter may double the longest time
	until := now.Add(min(v.For, limit))
	if !again || !b.shared.held {
		if stateOf(b.epoch.Load()) == Closed {
			b.opened++
			b.since = now
		}
		b.shared.held, b.shared.refused = true, time.Time{}
		b.openFor = max(b.openFor, b.cfg.OpenDuration)
		b.openUntil = until
		b.enter(Open)
	}
	b.shared.holdUntil = until.Add(v.Hold)
}

// Release has b go by what the node sees alone: the manager is not heard of any more. An open time goes on to its end.
func (b *Breaker) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shared.held, b.shared.number = false, 0
}

// holds reports whether the cluster keeps b open at now.
func (b *Breaker) holds(now time.Time) bool {
	return b.shared.held && now.Before(b.shared.holdUntil)
}

// View tells how the node sees the destination, and the number of the verdict that b goes by. shared: the cluster shares b.
func (b *Breaker) View(now time.Time) (view policy.BreakerView, number uint64, shared bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.shared.on {
		return policy.BreakerIdle, 0, false
	}
	b.giveUpProbes(now)
	b.lapse(now)
	return b.viewAt(now), b.shared.number, true
}

func (b *Breaker) viewAt(now time.Time) policy.BreakerView {
	switch state := stateOf(b.epoch.Load()); {
	case b.forcedOpen(now):
		return policy.BreakerIdle
	case b.holds(now) && state == Open:
		if !b.shared.refused.IsZero() && now.Sub(b.shared.refused) < asksLately {
			return policy.BreakerRefusing
		}
		return policy.BreakerHeld
	case state == Open && now.Before(b.openUntil):
		return policy.BreakerOpened
	case state == Closed:
		return b.seen(now.Sub(b.origin))
	case len(b.probes) > 0 || state == HalfOpen && now.Sub(b.asked) < clearly && b.asked.After(b.openUntil):
		return policy.BreakerProbing
	}
	return policy.BreakerWaiting
}

// seen is what attempts have shown lately. It expects the lock.
func (b *Breaker) seen(since time.Duration) policy.BreakerView {
	good, bad := time.Duration(b.good.Load()), b.shared.bad
	wasGood, wasBad := good > 0 && since-good < lately, bad > 0 && since-bad < lately
	switch {
	case wasGood && (!wasBad || good >= bad || since-good < clearly):
		return policy.BreakerGood
	case wasBad && b.consecutive >= surely:
		return policy.BreakerFailing
	}
	return policy.BreakerIdle
}
