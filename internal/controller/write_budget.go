package controller

import "time"

// writeBudget is how many statuses may be written: so many per second, and a burst of so many after a pause. It is not safe for concurrent
// use.
type writeBudget struct {
	perSecond, burst float64 // immutable

	credit float64
	at     time.Time
}

func newWriteBudget(perSecond, burst float64) writeBudget {
	return writeBudget{perSecond: perSecond, burst: burst, credit: burst}
}

// refill adds what has become free since the last time. Now never goes back.
func (b *writeBudget) refill(now time.Time) {
	if !b.at.Before(now) {
		return
	}
	if !b.at.IsZero() {
		b.credit = min(b.credit+now.Sub(b.at).Seconds()*b.perSecond, b.burst)
	}
	b.at = now
}

// spend takes one write, or reports that there is none.
func (b *writeBudget) spend() bool {
	if b.credit < 1 {
		return false
	}
	b.credit--
	return true
}

// giveBack returns a write that was not needed.
func (b *writeBudget) giveBack() { b.credit = min(b.credit+1, b.burst) }

// wait returns how long it takes until there is a write.
func (b *writeBudget) wait() time.Duration {
	return time.Duration((1-b.credit)/b.perSecond*float64(time.Second)) + 1
}
