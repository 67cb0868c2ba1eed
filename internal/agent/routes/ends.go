package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// ends remembers when a time of the node's clock comes, in seconds since 1970, by the clock that nobody sets: whatever becomes of the node's,
// nothing that has ended begins again, and nothing is prolonged. It is guarded by Table.installing.
type ends map[int64]time.Time

// keepEnds is how long an end is remembered: longer than it could be written for.
const keepEnds = 2 * policy.MaxFaults

// at returns when it comes that is left for so long at now, as far as the node's clock knows: then, or when it was to come before.
func (e ends) at(until int64, left time.Duration, now time.Time) time.Time {
	at := now.Add(left)
	if known, ok := e[until]; ok && known.Before(at) {
		at = known
	}
	for other, at := range e {
		if now.Sub(at) > keepEnds {
			delete(e, other)
		}
	}
	e[until] = at
	return at
}
