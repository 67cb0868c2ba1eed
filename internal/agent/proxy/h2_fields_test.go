package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// Each field decides how often a call is tried.
//
//enforces:http2 retry.maxRetries retry.when retry.statusCodes retry.responseHeaders[].name retry.responseHeaders[].value
//enforces:http2 retry.overrides[].when retry.overrides[].statusCodes retry.overrides[].maxRetries
//enforces:http2 retry.retryAfter.honor retry.retryAfter.max retry.idempotency.mode retry.idempotency.keyHeader
//enforces:http2 retry.budget.percent retry.budget.minRetriesPerSecond
func TestRule09_EveryFieldDecidesOnRetriesOverHTTP2(t *testing.T) {
	for name, tc := range retryCases() {
		t.Run(name, func(t *testing.T) {
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(tc.answer)), nil)
			check(t, err)
			res.Body.Close()
			var fields http2test.Fields
			for name, values := range res.Header {
				if name != "Content-Length" {
					fields = append(fields, http2test.F(strings.ToLower(name), values[0])...)
				}
			}
			var n atomic.Int64
			w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { tc.set(&s.Retry) }), func(_ int, s *http2test.Stream) {
				n.Add(1)
				_, _ = s.Body()
				_ = s.Respond(res.StatusCode, nil, fields)
			})
			c := w.dialH2(http2test.Options{})
			for range max(tc.calls, 1) {
				var s *http2test.Stream
				if tc.request == aPOST {
					s = must(c.Post("a", "/", []byte("hi"), http2test.F("x-key", "k")))(t)
				} else {
					s = must(c.Get("a", "/", nil))(t)
				}
				statusOf(t, s)
			}
			if n.Load() != tc.want {
				t.Errorf("%d attempts, want %d", n.Load(), tc.want)
			}
		})
	}
}

//enforces:http2 timeouts.connect timeouts.responseHeader timeouts.write
func TestRule02_DeadlinesOfAttemptsHoldOverHTTP2(t *testing.T) {
	short := 50 * time.Millisecond
	for name, tc := range map[string]struct {
		set    func(*policy.Timeouts)
		slow   time.Duration // to connect
		body   int
		reason string
	}{
		"connect":        {set: func(l *policy.Timeouts) { l.Connect = short }, slow: time.Minute, reason: "connect_failure"},
		"responseHeader": {set: func(l *policy.Timeouts) { l.ResponseHeader = short }, reason: "per_try_timeout"},
		"write":          {set: func(l *policy.Timeouts) { l.Write = short }, body: 128 << 10, reason: "per_try_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{HoldWindows: true}, Stream: func(s *http2test.Stream) { _, _ = s.AwaitReset() }})
			w := build(t, srv.Addr(), toAnyH2(func(s *policy.Settings) { tc.set(&s.Timeouts) }))
			w.dialer.slow.Store(int64(tc.slow))
			s := must(w.dialH2(http2test.Options{}).Post("a", "/", make([]byte, tc.body+1), nil))(t)
			if _, head := statusOf(t, s); head.Get("fairlead-reason") != tc.reason {
				t.Errorf("got %v", head)
			}
		})
	}
}
