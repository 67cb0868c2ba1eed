package resilience

import "time"

// window counts events and the bad ones among them over the last span, and knows how many are too many. Good ones may be counted
// by anybody at any time; the rest is the caller's to guard.
type window struct {
	step             time.Duration
	percent, minimum uint64

	good sliding
	bad  slots
}

func newWindow(span time.Duration, percent, minimum int) *window {
	return &window{step: max(span/slotCount, 1), percent: uint64(percent), minimum: uint64(minimum)}
}

// count counts an event.
func (w *window) count(since time.Duration, bad bool, shard uint8) {
	if bad {
		w.bad.add(tickOf(since, w.step))
		return
	}
	w.succeeds(since, shard)
}

// succeeds counts a good one. It needs no guard.
func (w *window) succeeds(since time.Duration, shard uint8) { w.good.add(tickOf(since, w.step), shard) }

// reached reports whether at least percent of at least minimum events were bad. If not, quiet is the time before which good
// events cannot change that.
func (w *window) reached(since time.Duration) (reached bool, quiet time.Duration) {
	tick := tickOf(since, w.step)
	bad := w.bad.sum(tick)
	if bad == 0 {
		return false, forever
	}
	total := bad + w.good.sum(tick)
	switch {
	case total < w.minimum:
		return false, 0 // the next event may be the last that is missing
	case bad*100 >= w.percent*total:
		return true, 0
	}
	return false, time.Duration(tick) * w.step // the end of this slot, when old events leave
}
