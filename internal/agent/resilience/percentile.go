package resilience

import (
	"slices"
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
	sorted  []time.Duration // the same
}

// NewLatencyPercentile returns one that knows no attempt, for a percentile from 1 to 100.
func NewLatencyPercentile(percent int) *LatencyPercentile {
	return &LatencyPercentile{
		percent: percent, latest: make([]time.Duration, 0, percentileWindow), sorted: make([]time.Duration, 0, percentileWindow),
	}
}

// Reconfigure puts another percentile in force. What is known stays.
func (l *LatencyPercentile) Reconfigure(percent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.percent = percent
	l.store()
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
		i, _ := slices.BinarySearch(l.sorted, l.latest[l.oldest])
		l.sorted = slices.Delete(l.sorted, i, i+1)
		l.latest[l.oldest] = d
		l.oldest = (l.oldest + 1) % len(l.latest)
	}
	i, _ := slices.BinarySearch(l.sorted, d)
	l.sorted = slices.Insert(l.sorted, i, d)
	l.store()
}

// TookLonger takes in that an attempt was given up after a time. If that is longer than the percentile, it was one of the slow ones, however long it would have
// taken; otherwise it says nothing. Without it the slow ones, which others beside them overtake, would never count.
func (l *LatencyPercentile) TookLonger(than time.Duration) {
	if v := l.Value(); v > 0 && than >= v {
		l.Took(than)
	}
}

// store expects the lock.
func (l *LatencyPercentile) store() {
	n := len(l.sorted)
	if n < enoughSamples {
		l.value.Store(0)
		return
	}
	rank := min(max((l.percent*n+99)/100, 1), n)
	l.value.Store(int64(max(l.sorted[rank-1], 1)))
}
