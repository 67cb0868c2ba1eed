package transport

import "time"

// instant is a time in nanoseconds by the clock that nobody sets, a third of the size of a time.Time. Zero is no time.
type instant int64

// origin is what instants are counted from: long enough ago that none that matters is zero or before it.
var origin = time.Now().Add(-time.Hour)

// longAgo is an instant before all others.
const longAgo instant = 1

// at returns the instant of a time; zero for the zero time.
func at(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return max(instant(t.Sub(origin)), 1)
}
