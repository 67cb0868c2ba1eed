package upstream

import (
	"math"
	"time"
)

const (
	// failureLasts is how long a failure weighs as if its call still went on: without that an endpoint that fails at once would look
	// like the least busy one and attract all calls. The weight fades by e in this time.
	failureLasts = 4 * time.Second
	// failureMemory is the number of calls over which the share of failures is taken. A failure weighs by that share: one in a
	// hundred hardly counts, all of them do fully.
	failureMemory = 8
	// negligible is the weight from which on failures are forgotten.
	negligible = 1.0 / 32
)

// failures are those of a host's last exchanges. The zero value means that there are none.
type failures struct {
	share  float64   // of failures among the last exchanges
	weight float64   // of failures, at the time since
	since  time.Time // zero: no failures
}

// count counts the end of an exchange.
func (f *failures) count(now time.Time, failed bool) {
	if failed {
		f.share += (1 - f.share) / failureMemory
		f.weight = f.weightAt(now) + f.share
		f.since = now
		return
	}
	f.share -= f.share / failureMemory
	if f.share < negligible && f.weightAt(now) == 0 {
		*f = failures{}
	}
}

// weightAt returns how many calls under way the failures weigh as much as.
func (f *failures) weightAt(now time.Time) float64 {
	if f.since.IsZero() {
		return 0
	}
	w := f.weight * math.Exp(-max(now.Sub(f.since), 0).Seconds()/failureLasts.Seconds())
	if w < negligible {
		return 0
	}
	return w
}
