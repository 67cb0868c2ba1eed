package drive

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

// RetryAfter is after how many seconds a call that a limit refused may come again, as Retry-After has it: rounded up, and at least one. It is 0
// for calls that ended otherwise.
func RetryAfter(o *call.Outcome) int {
	if o.Kind != call.RateLimited {
		return 0
	}
	return int(max((o.Refusal.RetryAfter+time.Second-1)/time.Second, 1))
}

// Pushback is the same as grpc-retry-pushback-ms has it: in milliseconds.
func Pushback(o *call.Outcome) time.Duration {
	if o.Kind != call.RateLimited {
		return 0
	}
	return max((o.Refusal.RetryAfter+time.Millisecond-1)/time.Millisecond*time.Millisecond, time.Millisecond)
}
