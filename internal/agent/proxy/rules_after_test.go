package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// What a server asks for as a wait raises the wait, is never shortened, and ends the call where there is no time for it: the last real response is
// what the client gets.
//
//overtls:originate,intercept
func TestRule14_RetryAfterIsWaitedFor(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		field  string // Retry-After if empty
		after  func() string
		set    func(*policy.Settings)
		least  time.Duration
		status int
		want   int64
	}{
		"seconds":            {after: func() string { return "1" }, least: time.Second, status: 200, want: 2},
		"a date":             {after: func() string { return in(2 * time.Second) }, least: time.Second, status: 200, want: 2},
		"less than we wait":  {after: func() string { return "0" }, set: backoffOf(50 * time.Millisecond), least: 50 * time.Millisecond, status: 200, want: 2},
		"in the past":        {after: func() string { return in(-time.Hour) }, set: backoffOf(50 * time.Millisecond), least: 50 * time.Millisecond, status: 200, want: 2},
		"beyond its max":     {after: func() string { return "3600" }, status: 503, want: 1},
		"beyond the time":    {after: func() string { return "1" }, set: func(s *policy.Settings) { s.Timeouts.Overall = 500 * time.Millisecond }, status: 503, want: 1},
		"not understood":     {after: func() string { return "soon" }, status: 200, want: 2},
		"less than a second": {after: func() string { return "-1" }, status: 200, want: 2},
		"milliseconds":       {field: "Retry-After-Ms", after: func() string { return "80" }, least: 80 * time.Millisecond, status: 200, want: 2},
		"less of them than we wait": {
			field: "Retry-After-Ms", after: func() string { return "1" }, set: backoffOf(50 * time.Millisecond), least: 50 * time.Millisecond, status: 200, want: 2,
		},
		"milliseconds before all": {field: "Retry-After: 3600\r\nRetry-After-Ms", after: func() string { return "10" }, least: 10 * time.Millisecond, status: 200, want: 2},
		"a limit's seconds":       {field: "X-RateLimit-Reset", after: func() string { return "1" }, least: time.Second, status: 200, want: 2},
		"a limit's time": {
			field: "X-RateLimit-Reset", after: func() string { return strconv.FormatInt(time.Now().Unix()+2, 10) }, least: time.Second, status: 200, want: 2,
		},
		"a limit's time beyond its max": {
			field: "X-RateLimit-Reset", after: func() string { return strconv.FormatInt(time.Now().Unix()+3600, 10) }, status: 429, want: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			var n atomic.Int64
			w := build(t, counted(t, &n, func(*http.Request) string {
				switch {
				case n.Load() > 1:
					return answer(200, "")
				case strings.HasPrefix(tc.field, "X-RateLimit"):
					return headed(429, tc.field+": "+tc.after())
				case tc.field == "":
					return headed(503, "Retry-After: "+tc.after())
				}
				return headed(503, tc.field+": "+tc.after())
			}), toAny(func(s *policy.Settings) {
				s.Retry.On = policy.Of(policy.GatewayError, policy.RateLimited)
				if tc.set != nil {
					tc.set(s)
				}
			}))
			began := time.Now()
			res, _ := w.dial().get("/")
			if took := time.Since(began); res.StatusCode != tc.status || n.Load() != tc.want || took < tc.least {
				t.Errorf("answered %d after %d attempts and %v, want %d, %d, %v", res.StatusCode, n.Load(), took, tc.status, tc.want, tc.least)
			}
		})
	}
}

// backoffOf has every retry wait for as long.
func backoffOf(d time.Duration) func(*policy.Settings) {
	return func(s *policy.Settings) {
		s.Retry.Backoff = policy.Backoff{Strategy: policy.Fixed, Initial: d, Max: d, Jitter: policy.JitterNone}
	}
}
