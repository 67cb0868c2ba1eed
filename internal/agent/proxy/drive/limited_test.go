package drive

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

// A client that comes when it was asked to is let in: what it hears is rounded up.
func TestRule24_WhoComesWhenAskedToIsNotTooEarly(t *testing.T) {
	for wait, want := range map[time.Duration]struct {
		seconds int
		millis  time.Duration
	}{
		0:                               {1, time.Millisecond},
		1:                               {1, time.Millisecond},
		time.Second:                     {1, time.Second},
		time.Second + 1:                 {2, time.Second + time.Millisecond},
		1500 * time.Millisecond:         {2, 1500 * time.Millisecond},
		time.Hour - 500*time.Nanosecond: {3600, time.Hour},
	} {
		o := call.Outcome{Kind: call.RateLimited, Refusal: call.Refusal{RetryAfter: wait}}
		if s, ms := RetryAfter(&o), Pushback(&o); s != want.seconds || ms != want.millis {
			t.Errorf("after %v: %d s and %v, want %d s and %v", wait, s, ms, want.seconds, want.millis)
		}
	}
	if o := (call.Outcome{Kind: call.BreakerOpen, Refusal: call.Refusal{RetryAfter: time.Second}}); RetryAfter(&o) != 0 || Pushback(&o) != 0 {
		t.Error("what no limit refused is asked to come again")
	}
}
