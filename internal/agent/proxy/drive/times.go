package drive

import "time"

// How often a call that waits checks whether its client is still there (rule 4). Calls that are answered sooner never check.
const (
	FirstCheck = 50 * time.Millisecond
	MaxCheck   = 500 * time.Millisecond
)

// Earlier returns the earlier of two times of which a zero one means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Passed reports whether a time has come; a zero one never does.
func Passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
