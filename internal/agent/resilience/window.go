package resilience

import "time"

// windowSlots is how finely a window slides: what leaves it at one instant is never more than 1/windowSlots of its span
// (rule 23 allows a tenth).
const windowSlots = 20

// window counts events and the bad ones among them over the last span. The caller guards it.
type window struct {
	span time.Duration

	start      time.Time // of slot 0's first turn; zero until the first event
	tick       int64     // the slot number that now falls into
	slots      [windowSlots]slot
	total, bad int
}

type slot struct{ total, bad int }

// add counts one event at now.
func (w *window) add(now time.Time, bad bool) {
	w.advance(now)
	s := &w.slots[w.tick%windowSlots]
	s.total++
	w.total++
	if bad {
		s.bad++
		w.bad++
	}
}

// reached reports whether at least percent of at least minimum events were bad.
func (w *window) reached(percent, minimum int) bool {
	return w.total > 0 && w.total >= minimum && w.bad*100 >= percent*w.total && w.bad > 0
}

// advance drops the slots that have left the window. Time that runs backwards is taken as standing still.
func (w *window) advance(now time.Time) {
	if w.start.IsZero() {
		w.start = now
	}
	step := max(w.span/windowSlots, 1)
	tick := int64(now.Sub(w.start) / step)
	if tick-w.tick >= windowSlots {
		w.slots, w.total, w.bad, w.tick = [windowSlots]slot{}, 0, 0, tick
		return
	}
	for w.tick < tick {
		w.tick++
		s := &w.slots[w.tick%windowSlots]
		w.total -= s.total
		w.bad -= s.bad
		*s = slot{}
	}
}

// reset forgets everything but the span.
func (w *window) reset() {
	*w = window{span: w.span}
}
