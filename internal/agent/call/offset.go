package call

import (
	"math"
	"time"
)

// offset is a time, counted from the call's begin.
type offset = time.Duration

const never = offset(math.MaxInt64)

// after returns the offset of the end of a limit; a limit of 0 has none.
func after(m offset, limit time.Duration) offset {
	if limit <= 0 {
		return never
	}
	return m + limit
}

func (c *Call) offsetOf(t time.Time) offset { return t.Sub(c.started) }

// timeOf is the time at an offset; zero stands for never.
func (c *Call) timeOf(m offset) time.Time {
	if m == never {
		return time.Time{}
	}
	return c.started.Add(m)
}

// passed reports whether the time at an offset has come.
func (c *Call) passed(m offset, now time.Time) bool { return m != never && m <= c.offsetOf(now) }
