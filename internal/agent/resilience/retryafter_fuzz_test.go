package resilience

import (
	"net/http"
	"testing"
	"time"
)

// Whatever arrives: no panic, a delay within bounds, and agreement with net/http on what it reads as a date.
func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{
		"120", "", "-1", "99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994", "Sun, 31 Feb 1994 08:49:37 GMT", ",,,", "Mon", "Monday, 1",
	} {
		f.Add([]byte(v))
	}
	now := time.Date(1994, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value []byte) {
		d, ok := RetryAfter(value, now)
		if d < 0 || d > maxRetryAfterSeconds*time.Second || !ok && d != 0 {
			t.Fatalf("%q: %v, %v", value, d, ok)
		}
		s := scanner{rest: value}
		s.imfFixdate()
		want, err := http.ParseTime(string(value))
		if err != nil || s.failed || len(s.rest) != 0 || !ok {
			return // net/http reads more forms, leap seconds fewer
		}
		if exact := min(max(want.Sub(now), 0), maxRetryAfterSeconds*time.Second); d != exact {
			t.Fatalf("%q: %v, net/http says %v", value, d, exact)
		}
	})
}
