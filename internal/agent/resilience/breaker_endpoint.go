package resilience

import "time"

// What is done differently where a breaker is that of an endpoint. The functions expect the lock.

// trip opens the breaker, in which a trigger has fired, if it may.
func (b *Breaker) trip(now time.Time) {
	if b.endpoint != nil {
		if !b.endpoint.eject(b.cause(now)) {
			return
		}
		b.fade(now)
	}
	b.open(now)
}

// cause tells which trigger has fired.
func (b *Breaker) cause(now time.Time) Cause {
	if n := b.cfg.ConsecutiveFailures; n > 0 && b.consecutive >= n {
		return ConsecutiveFailures
	}
	if w := b.triggers.Load().errors; w != nil {
		if reached, _ := w.reached(now.Sub(b.origin)); reached {
			return ErrorRate
		}
	}
	return SlowCalls
}

// fade has the next open period be shorter for the time that the endpoint was well: half as long when that was as long as the last open period,
// half of that again when it was well for as long as that says, and so on.
func (b *Breaker) fade(now time.Time) {
	for well := now.Sub(b.closed); b.openFor > 0 && well >= b.openFor; {
		well -= b.openFor
		if b.openFor /= 2; b.openFor < b.cfg.OpenDuration {
			b.openFor = 0
		}
	}
}

// close closes the breaker after an open period.
func (b *Breaker) close(now time.Time) {
	if b.endpoint != nil {
		b.endpoint.comesBack(now, b.openFor)
		b.closed = now
	} else {
		b.openFor = 0
	}
	b.enter(Closed)
}
