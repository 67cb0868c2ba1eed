package upstream

import (
	"math"
	"time"
)

const (
	// failureLasts is how long a failure weighs as if its call still went on: without that an endpoint that fails at once would look
	// like the least busy one and attract all calls. The weight fades by e in this time.
	failureLasts = 4 * time.Second
	// failureMemory is the number of calls over which the share of failures is taken. A failure weighs by that share: one in a
	// hundred hardly counts, all of them do fully.
	failureMemory = 8
	// negligible is the weight from which on failures are forgotten.
	negligible = 1.0 / 32
	// An endpoint that cannot be connected to is left out for leastDown, then for twice as long each time, up to mostDown.
	leastDown = time.Second
	mostDown  = 8 * time.Second
)

// health is what calls have lately shown of an endpoint that is not well.
type health struct {
	share     float64   // of failures among the last calls
	weight    float64   // of failures, at the time since
	since     time.Time // zero: no failures
	downFor   time.Duration
	downAt    time.Time // when a connect failed last
	downUntil time.Time
}

// weightAt returns the weight of failures at now.
func (h *health) weightAt(now time.Time) float64 {
	if h.since.IsZero() {
		return 0
	}
	w := h.weight * math.Exp(-max(now.Sub(h.since), 0).Seconds()/failureLasts.Seconds())
	if w < negligible {
		return 0
	}
	return w
}

// busyness is the number of calls under way to the endpoint, and what its failures weigh.
func (e *endpoint) busyness(now time.Time) float64 {
	if e.health == nil {
		return float64(e.active)
	}
	return float64(e.active) + e.health.weightAt(now)
}

// isDown reports whether the endpoint is to be left out while there are others.
func (e *endpoint) isDown(now time.Time) bool {
	return e.health != nil && now.Before(e.health.downUntil)
}

// healthOf returns the health of an endpoint, made if need be. This and the functions below expect the lock.
func (p *Pool) healthOf(at *endpoint) *health {
	if at.health == nil {
		at.health = &health{}
		at.unhealthy.Store(true)
		p.unhealthy++
	}
	return at.health
}

// clearHealth forgets what was known of an endpoint.
func (p *Pool) clearHealth(at *endpoint) {
	if at.health == nil {
		return
	}
	p.noteConnected(at)
	at.health = nil
	at.unhealthy.Store(false)
	p.unhealthy--
}

// noteResult counts how an exchange ended.
func (p *Pool) noteResult(at *endpoint, failed bool, now time.Time) {
	if at.gone || !at.own {
		return
	}
	if !failed {
		h := at.health
		if h == nil {
			return
		}
		p.noteConnected(at)
		h.share -= h.share / failureMemory
		if h.share < negligible && h.weightAt(now) == 0 {
			p.clearHealth(at)
		}
		return
	}
	h := p.healthOf(at)
	h.share += (1 - h.share) / failureMemory
	h.weight = h.weightAt(now) + h.share
	h.since = now
}

// noteUnconnected counts a connect that failed. Those that were under way together count as one.
func (p *Pool) noteUnconnected(at *endpoint, now time.Time) {
	if at.gone || !at.own {
		return
	}
	h := p.healthOf(at)
	switch {
	case h.downFor == 0:
		h.downFor = leastDown
		p.down++
	case now.Sub(h.downAt) < h.downFor/2:
		return
	default:
		h.downFor = min(2*h.downFor, mostDown)
	}
	h.downAt, h.downUntil = now, now.Add(h.downFor)
}

// noteConnected takes note that the endpoint is there.
func (p *Pool) noteConnected(at *endpoint) {
	if h := at.health; h != nil && h.downFor > 0 {
		h.downFor, h.downUntil = 0, time.Time{}
		p.down--
	}
}
