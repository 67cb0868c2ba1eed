package drive

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
)

// ReadWish enters into r, which reports a failure, after how long its server wants to be asked again, as its head says.
func ReadWish(r *call.Response, head resilience.Header, now time.Time) {
	w, ok := resilience.ReadWish(head, call.Limited(r.Status), now)
	r.RetryAfter, r.HasRetryAfter, r.OfLimit = w.After, ok, w.OfLimit
}
