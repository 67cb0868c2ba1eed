package resilience

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// rateShare is what a RateLimit goes by of which this node has a share.
type rateShare struct {
	share       policy.Share
	size        float64 // what the bucket holds: the burst, and one call at least
	provisional bool
	longest     int64 // what RetryAfter may be
}

const (
	// sharesFollow is how long it takes until shares have followed demand: a call that is refused is not asked to stay away for longer than
	// that and the time between two calls of the whole.
	sharesFollow = time.Second
	// firstRate is the part of the rate that a node has which has no share yet.
	firstRate = 0.01
)

// FirstShare is what a node has of a limit that nobody has given it a share of: a call to begin with, and a hundredth of the rate.
func FirstShare(whole policy.Share) policy.Share {
	return policy.Share{Rate: firstRate * whole.Rate, Burst: 1}
}

// SharedLimit is what a RateLimit goes by of which this node has a share. How long calls wait is up to their gates.
type SharedLimit struct {
	Whole, Share policy.Share
	// Provisional: another share is on its way, so calls that may wait do so even if this one would not let them in in time.
	Provisional bool
}

// NewSharedRateLimit returns a limit of which this node has a share. It has one token to begin with.
func NewSharedRateLimit(s SharedLimit, now time.Time) *RateLimit {
	l := &RateLimit{origin: now}
	r := shareOf(s)
	l.rate.Store(r)
	l.full.Store(r.missing(r.shared.size - 1))
	return l
}

// SetShare puts a share in force. Tokens above its burst are lost, and a larger burst brings none: it is filled by time. So where shares grow by
// what others have lost, the tokens of all together are never more than the whole burst.
func (l *RateLimit) SetShare(s SharedLimit, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changeShare(shareOf(s), l.since(now))
}

// Came is how many calls have come to the limit of which this node has a share, refused ones included.
func (l *RateLimit) Came() uint64 { return l.came.Load() }

// count counts a call that has come.
func (l *RateLimit) count() {
	if l.rate.Load().shared != nil {
		l.came.Add(1)
	}
}

func shareOf(s SharedLimit) *rate {
	size := max(s.Share.Burst, 1)
	every := nanoseconds(1e9 / s.Share.Rate)
	longest := int64(sharesFollow) + nanoseconds(1e9/s.Whole.Rate)
	return &rate{
		every: every, slack: nanoseconds((size - 1) * float64(every)),
		shared: &rateShare{share: s.Share, size: size, provisional: s.Provisional, longest: longest},
	}
}

// nanoseconds rounds up, so that a rate is never exceeded; it is at least 1 and at most never.
func nanoseconds(d float64) int64 {
	if !(d < never) { // a rate of 0 is one call in eternity
		return never
	}
	return int64(max(math.Ceil(d), 0))
}

// missing is for how long a bucket fills that lacks so many tokens.
func (r *rate) missing(tokens float64) int64 { return nanoseconds(max(tokens, 0) * float64(r.every)) }

// changeShare puts a share in force. It expects the lock.
func (l *RateLimit) changeShare(next *rate, now int64) {
	old := l.rate.Load()
	full := l.full.Swap(changing)
	level := old.shared.size - float64(max(full-now, 0))/float64(old.every)
	then := now + next.missing(next.shared.size-min(level, next.shared.size))
	if then == full {
		then++ // so that who has read the rate before does not take it for unchanged
	}
	l.rate.Store(next)
	l.full.Store(then)
	l.rouse()
}

// provisional reports whether another share is on its way.
func (r *rate) provisional() bool { return r.shared != nil && r.shared.provisional }
