package wire

import (
	"fmt"
	"math"
	"time"
)

// Bounds of numbers. They are far beyond what the API allows and agents can count, and small enough that sums and products of them do not
// overflow: whoever computes with what was decoded need not check again.
const (
	maxDuration   = 50 * 365 * 24 * time.Hour
	maxPercent    = 100
	maxMultiplier = 1000
	// maxSize bounds sizes in bytes of what is kept in memory.
	maxSize = 1 << 30
	// maxTally bounds a counter of one report.
	maxTally = 1 << 48
)

// checker keeps the first error, so that a translation reads as a plain mapping.
type checker struct{ err error }

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

func (c *checker) limit(what string, n, most int) {
	if n > most {
		c.fail("%d %s, at most %d", n, what, most)
	}
}

// between returns n if it is from 0 to most; else it fails and returns 0.
func between[N ~int | ~int32 | ~int64 | ~uint32 | ~uint64](c *checker, what string, n, most N) N {
	if n < 0 || n > most {
		c.fail("%s %d, not from 0 to %d", what, n, most)
		return 0
	}
	return n
}

func (c *checker) multiplier(f float64) float64 {
	if !(f >= 0 && f <= maxMultiplier) { // NaN is neither
		c.fail("multiplier %v, not from 0 to %d", f, maxMultiplier)
		return 0
	}
	return f
}

func (c *checker) size(n int64) int64 { return between(c, "size", n, maxSize) }

func (c *checker) tally(n uint64) uint64 { return between(c, "counter", n, maxTally) }

// The same numbers as they are encoded and decoded.

func (e *translator) duration(d time.Duration) int64 {
	return int64(between(&e.checker, "duration", d, maxDuration))
}
func (d *decoder) duration(n int64) time.Duration {
	return between(&d.checker, "duration", time.Duration(n), maxDuration)
}

func (e *translator) count(n int) int32 {
	return int32(between(&e.checker, "number", n, math.MaxInt32))
}
func (d *decoder) count(n int32) int { return int(between(&d.checker, "number", n, math.MaxInt32)) }

func (e *translator) percent(n int) int32 {
	return int32(between(&e.checker, "percent", n, maxPercent))
}
func (d *decoder) percent(n int32) int { return int(between(&d.checker, "percent", n, maxPercent)) }

func (e *translator) gauge(n int) uint32 {
	return uint32(between(&e.checker, "gauge", n, math.MaxInt32))
}
func (d *decoder) gauge(n uint32) int { return int(between(&d.checker, "gauge", n, math.MaxInt32)) }
