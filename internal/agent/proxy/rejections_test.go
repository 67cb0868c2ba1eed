package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// localAnswer is what a client gets instead of an answer of a server.
type localAnswer struct {
	status       int
	reason, kind string // of fairlead-reason and Content-Type
	length       string
	body         string
	reset        bool // it hears that it may stop sending
	later        bool // Retry-After names a time within the next hour
}

// asking makes a request of a version of HTTP; uploads says that it does not come to its end.
type asking func(w *testProxy, method string, uploads bool) localAnswer

func askHTTP1(w *testProxy, method string, uploads bool) localAnswer {
	w.t.Helper()
	c := w.dial()
	more := ""
	if uploads {
		more = "Content-Length: 100\r\n\r\nsome"
	} else {
		more = "\r\n"
	}
	c.send(method + " / HTTP/1.1\r\nHost: up.example\r\n" + more)
	res, body := c.response(method)
	h := res.Header
	return localAnswer{res.StatusCode, h.Get("Fairlead-Reason"), h.Get("Content-Type"), h.Get("Content-Length"), body, uploads && res.Close, aboutAnHour(h.Get("Retry-After"))}
}

func askHTTP2(w *testProxy, method string, uploads bool) localAnswer {
	w.t.Helper()
	s := must(w.dialH2(http2test.Options{}).Request(!uploads, http2test.Head(method, "up.example", "/")))(w.t)
	if uploads {
		_ = s.Data([]byte("some"), false) // it may have been answered
	}
	head := must(s.Head())(w.t)
	got := localAnswer{reason: head.Get("fairlead-reason"), kind: head.Get("content-type"), length: head.Get("content-length"), body: string(must(s.Body())(w.t))}
	_, _ = fmt.Sscan(head.Get(":status"), &got.status)
	got.later = aboutAnHour(head.Get("retry-after"))
	if uploads {
		code, err := s.AwaitReset()
		got.reset = err == nil && code == http2.ErrCodeNo
	}
	return got
}

// unanswering is a server that takes requests of any version, and answers none.
func unanswering(t *testing.T) netip.AddrPort {
	return serve(t, func(_ int, p *peer) {
		for {
			if _, err := p.r.Discard(1); err != nil {
				return
			}
		}
	})
}

// The agent's own answers are the same in each version: status, reason, a line of text; HEAD without content; and in the midst of a request its
// client can read them, and learns that it may stop.
func TestRule26_LocalAnswersAreAsWritten(t *testing.T) {
	t.Parallel()
	brittle := guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
	once := limited(policy.RateLimit{Requests: 1, Per: time.Hour, Burst: 1, Scope: policy.SharePod})
	narrow := alone(func(p *policy.Pool) { p.MaxConnections, p.MaxPending = 1, 0 })
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		server func(*testing.T) netip.AddrPort // nil: it does not answer
		before func(w *testProxy, ask asking)
		status int
		reason string
	}{
		"nobody listens":           {server: func(t *testing.T) netip.AddrPort { return closedAddress(t) }, status: 502, reason: "connect_failure"},
		"the connection breaks":    {before: func(w *testProxy, _ asking) { w.dialer.broken.Store(100) }, status: 502, reason: "reset"},
		"another protocol":         {server: mailServer, status: 502, reason: "protocol"},
		"an attempt is slow":       {change: func(s *policy.Settings) { s.Timeouts.PerTry = 20 * time.Millisecond }, status: 504, reason: "per_try_timeout"},
		"the call is slow":         {change: func(s *policy.Settings) { s.Timeouts.Overall = 20 * time.Millisecond }, status: 504, reason: "deadline"},
		"the circuit is open":      {brittle, func(t *testing.T) netip.AddrPort { return closedAddress(t) }, calledBefore, 503, "circuit_open"},
		"the connections are used": {narrow, nil, occupied, 503, "pool_overflow"},
		"the rate is used up":      {once, func(t *testing.T) netip.AddrPort { return closedAddress(t) }, calledBefore, 429, "rate_limited"},
		"the name is not found":    {before: func(w *testProxy, _ asking) { w.names.fail(100) }, status: 502, reason: "dns"},
	} {
		for version, ask := range map[string]asking{"HTTP/1.1": askHTTP1, "HTTP/2": askHTTP2} {
			for method, uploads := range map[string]bool{"GET": false, "HEAD": false, "POST": true} {
				if uploads && tc.reason == "per_try_timeout" {
					continue // an attempt has no time while its client sends (rule 2)
				}
				t.Run(strings.Join([]string{name, version, method}, "/"), func(t *testing.T) {
					t.Parallel()
					server := unanswering
					if tc.server != nil {
						server = tc.server
					}
					b := toAnyH2(func(s *policy.Settings) {
						s.Retry.MaxRetries = 0
						if tc.change != nil {
							tc.change(s)
						}
					})
					if tc.reason == "dns" { // by way of a proxy, which is what is looked up
						b.To.Kind, b.To.Host, b.To.Via = policy.TargetHost, "up.example", policy.Via{Host: "proxy.corp.example", Port: 3128}
					}
					w := buildH2(t, server(t), b)
					if tc.before != nil {
						tc.before(w, ask)
					}
					text := "fairlead: " + tc.reason + "\n"
					want := localAnswer{tc.status, tc.reason, "text/plain; charset=utf-8", fmt.Sprint(len(text)), text, uploads, tc.status == 429}
					if method == http.MethodHead {
						want.body = ""
					}
					if got := ask(w, method, uploads); got != want {
						t.Errorf("got %+v\nwant %+v", got, want)
					}
				})
			}
		}
	}
}

// mailServer is a server that speaks neither version of HTTP.
func mailServer(t *testing.T) netip.AddrPort {
	return serve(t, func(_ int, p *peer) {
		p.send("220 mail.example ready, what is your name?\r\n")
		_, _ = p.r.Discard(1 << 20)
	})
}

// calledBefore makes one call before.
func calledBefore(w *testProxy, ask asking) { ask(w, "GET", false) }

// occupied takes the only connection before.
func occupied(w *testProxy, _ asking) {
	must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(w.t)
	w.waitFor(w.t, func() bool { return w.dialer.dials.Load() == 1 })
}

// Retry-After of an answer over HTTP/2 raises the delay and never lowers it; what is more than the policy or the call allows ends retrying, and
// the answer reaches the client.
func TestRule14_RetryAfterOverHTTP2(t *testing.T) {
	t.Parallel()
	const wait = 30 * time.Millisecond
	past := time.Now().Add(-time.Hour).UTC()
	for name, tc := range map[string]struct {
		value    string
		change   func(*policy.Settings)
		status   string
		attempts int
	}{
		"at once":             {"0", nil, "200", 2},
		"a date that is past": {past.Format(http.TimeFormat), nil, "200", 2},
		"of RFC 850":          {past.Format(time.RFC850), nil, "200", 2},
		"of asctime":          {past.Format(time.ANSIC), nil, "200", 2},
		"nonsense":            {"soon", nil, "200", 2},
		"more than allowed":   {"2", func(s *policy.Settings) { s.Retry.RetryAfter.Max = time.Second }, "503", 1},
		"a date beyond":       {past.Add(3 * time.Hour).Format(http.TimeFormat), func(s *policy.Settings) { s.Retry.RetryAfter.Max = time.Hour }, "503", 1},
		"beyond the deadline": {"20", func(s *policy.Settings) { s.Timeouts.Overall = 10 * time.Second }, "503", 1},
		"not honoured":        {"20", func(s *policy.Settings) { s.Retry.RetryAfter.Honor = false }, "200", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrivals := make(chan time.Time, 2)
			w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
				retryOn(policy.GatewayError)(s)
				s.Retry.Backoff = policy.Backoff{Strategy: policy.Fixed, Initial: wait, Max: wait, Jitter: policy.JitterNone}
				s.Retry.RetryAfter.Max = time.Hour
				if tc.change != nil {
					tc.change(s)
				}
			}), func(n int, s *http2test.Stream) {
				arrivals <- time.Now()
				if n == 0 {
					_ = s.Respond(503, []byte("busy"), http2test.F("retry-after", tc.value))
					return
				}
				_ = s.Respond(200, nil, nil)
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			status, head := statusOf(t, s)
			must(s.Body())(t)
			var came []time.Time
			for range len(arrivals) {
				came = append(came, <-arrivals)
			}
			if status != tc.status || len(came) != tc.attempts {
				t.Fatalf("got %v after %d attempts, want %s after %d", head, len(came), tc.status, tc.attempts)
			}
			if tc.attempts == 1 && head.Get("retry-after") != tc.value {
				t.Errorf("the client hears %q", head.Get("retry-after"))
			}
			if tc.attempts > 1 && came[1].Sub(came[0]) < wait {
				t.Errorf("the retry came after %v, want %v at least", came[1].Sub(came[0]), wait)
			}
		})
	}
}

// The same raises the delay: the retry does not come before the time that the server has named.
func TestRule14_RetryAfterIsWaitedForOverHTTP2(t *testing.T) {
	t.Parallel()
	times := make(chan time.Time, 2)
	w, _ := scripted(t, toAnyH2(retryOn(policy.GatewayError)), func(n int, s *http2test.Stream) {
		if n == 0 {
			until := time.Now().Add(time.Second).Truncate(time.Second).UTC() // within a second
			times <- until
			_ = s.Respond(503, nil, http2test.F("retry-after", until.Format(http.TimeFormat)))
			return
		}
		times <- time.Now()
		_ = s.Respond(200, nil, nil)
	})
	if status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)); status != "200" {
		t.Fatalf("got %v", head)
	}
	if until, came := <-times, <-times; came.Before(until) {
		t.Errorf("the retry came at %v, want none before %v", came, until)
	}
}
