package resilience

import (
	"sync"
	"sync/atomic"
	"time"
)

// percentileWindow is how many attempts count for a LatencyPercentile.
const percentileWindow = 256

// LatencyPercentile is how long a share of the latest attempts took, exactly (nearest rank). With fewer than 20 attempts it is not known.
type LatencyPercentile struct {
	value atomic.Int64 // atomic: what Value returns

	mu sync.Mutex
	// guarded by mu
	percent int
	latest  []time.Duration // a ring that is full before it turns
	oldest  int
	// at is the one of the percentile's rank, as long as that is above below, those that are shorter, and not above below and equal, those that are equal.
	at           time.Duration
	below, equal int
}

// NewLatencyPercentile returns one that knows no attempt, for a percentile from 1 to 100.
func NewLatencyPercentile(percent int) *LatencyPercentile {
	return &LatencyPercentile{percent: percent, latest: make([]time.Duration, 0, percentileWindow)}
}

// Reconfigure puts another percentile in force. What is known stays.
func (l *LatencyPercentile) Reconfigure(percent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.percent = percent
	l.adjust()
}

// Value is the percentile; 0: it is not known.
func (l *LatencyPercentile) Value() time.Duration { return time.Duration(l.value.Load()) }

// Took takes in how long an attempt took.
func (l *LatencyPercentile) Took(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.latest) < cap(l.latest) {
		l.latest = append(l.latest, d)
	} else {
		l.count(l.latest[l.oldest], -1)
		l.latest[l.oldest] = d
		l.oldest = (l.oldest + 1) % len(l.latest)
	}
	l.count(d, 1)
	l.adjust()
}

// count notes that an attempt has come, or has left the window.
func (l *LatencyPercentile) count(d time.Duration, n int) {
	switch {
	case d < l.at:
		l.below += n
	case d == l.at:
		l.equal += n
	}
}

// TookLonger takes in that an attempt was given up after a time. If that is longer than the percentile, it was one of the slow ones, however long it would have
// taken; otherwise it says nothing. Without it the slow ones, which others beside them overtake, would never count.
func (l *LatencyPercentile) TookLonger(than time.Duration) {
	if v := l.Value(); v > 0 && than >= v {
		l.Took(than)
	}
}

// adjust goes on to the one of the percentile's rank. It expects the lock. Most attempts are on the same side of it as those whose places they take, so that
// nothing has to be looked for.
func (l *LatencyPercentile) adjust() {
	n := len(l.latest)
	if n == 0 {
		return
	}
	rank := min(max((l.percent*n+99)/100, 1), n)
	for rank <= l.below {
		l.at, l.equal = l.next(func(d time.Duration) bool { return d < l.at })
		l.below -= l.equal
	}
	for rank > l.below+l.equal {
		l.below += l.equal
		l.at, l.equal = l.next(func(d time.Duration) bool { return d > l.at })
	}
	if n < enoughSamples {
		l.value.Store(0)
		return
	}
	l.value.Store(int64(max(l.at, 1)))
}

// next returns what comes next to at on a side of it, and how many are equal to that. There is one.
func (l *LatencyPercentile) next(side func(time.Duration) bool) (next time.Duration, equal int) {
	for _, d := range l.latest {
		switch {
		case !side(d):
		case d == next && equal > 0:
			equal++
		case equal == 0 || (d-l.at).Abs() < (next-l.at).Abs():
			next, equal = d, 1
		}
	}
	return next, equal
}
