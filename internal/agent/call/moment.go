package call

import (
	"math"
	"time"
)

// moment is a time, counted from the call's begin.
type moment = time.Duration

const never = moment(math.MaxInt64)

// after returns the moment at the end of a limit; a limit of 0 has none.
func after(m moment, limit time.Duration) moment {
	if limit <= 0 {
		return never
	}
	return m + limit
}

func (c *Call) momentOf(t time.Time) moment { return t.Sub(c.started) }

// timeOf is the time of a moment; zero stands for never.
func (c *Call) timeOf(m moment) time.Time {
	if m == never {
		return time.Time{}
	}
	return c.started.Add(m)
}

// passed reports whether a moment has come.
func (c *Call) passed(m moment, now time.Time) bool { return m != never && m <= c.momentOf(now) }
