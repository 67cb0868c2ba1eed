package resilience

import "time"

// OpenedBy says what keeps a breaker open.
type OpenedBy uint8

// What does.
const (
	// ByNode: what the node has seen.
	ByNode OpenedBy = iota
	// ByCluster: what the nodes of the cluster have seen together.
	ByCluster
	// ByHand: somebody has said so.
	ByHand
)

// Forced keeps a breaker open, or closed, until a time, whatever it counts. The zero value does nothing.
type Forced struct {
	Open  bool
	Until time.Time
}

// active reports whether f does something at now.
func (f *Forced) active(now time.Time) bool { return now.Before(f.Until) }

// Force puts f in force in place of what was said before. A breaker that is not kept open any more starts again, closed. What is over already says
// nothing.
func (b *Breaker) Force(now time.Time, f Forced) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !f.active(now) {
		f = Forced{}
	}
	if f == b.forced {
		return
	}
	was := b.forced
	b.forced = f
	switch {
	case f.active(now) && f.Open:
		if stateOf(b.epoch.Load()) != Open || !was.Open {
			b.since = now
			b.opened++
		}
		b.openFor, b.shared.held = 0, false
		b.enter(Open)
	case f.active(now) || was.Open:
		b.restart()
	}
}

// endForce forgets what was forced when its time is over.
func (b *Breaker) endForce(now time.Time) {
	if b.forced.Until.IsZero() || b.forced.active(now) {
		return
	}
	if b.forced.Open {
		b.restart()
	}
	b.forced = Forced{}
}

// restart closes b, and it counts from the beginning.
func (b *Breaker) restart() {
	b.openFor = 0
	b.enter(Closed)
}

// forcedOpen and forcedClosed report what b is at now, whatever it counts.
func (b *Breaker) forcedOpen(now time.Time) bool   { return b.forced.Open && b.forced.active(now) }
func (b *Breaker) forcedClosed(now time.Time) bool { return !b.forced.Open && b.forced.active(now) }

// OpenedBy tells what keeps b open at now.
func (b *Breaker) OpenedBy(now time.Time) OpenedBy {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.forcedOpen(now):
		return ByHand
	case b.shared.held:
		return ByCluster
	}
	return ByNode
}
