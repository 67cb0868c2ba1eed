package transport

import "time"

// Instant is a time in nanoseconds by the clock that nobody sets, a third of the size of a time.Time. Zero is no time.
type Instant int64

// origin is what instants are counted from: long enough ago that none that matters is zero or before it.
var origin = time.Now().Add(-time.Hour)

// longAgo is an instant before all others.
const longAgo Instant = 1

// At returns the instant of a time; zero for the zero time.
func At(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	return max(Instant(t.Sub(origin)), longAgo)
}

// Time returns the time of an instant.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return origin.Add(time.Duration(i))
}
