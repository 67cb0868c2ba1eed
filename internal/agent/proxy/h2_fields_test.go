package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
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
		t.Run(name, func(t *testing.T) { tc.triesOverHTTP2(t, toAnyH2(func(s *policy.Settings) { tc.set(&s.Retry) }), nil) })
	}
}

// triesOverHTTP2 makes the case's calls, with more fields in the head, and counts the attempts.
func (tc *retryCase) triesOverHTTP2(t *testing.T, b policy.Binding, more http2test.Fields) {
	t.Helper()
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
	w, _ := scripted(t, b, func(_ int, s *http2test.Stream) {
		n.Add(1)
		_, _ = s.Body()
		_ = s.Respond(res.StatusCode, nil, fields)
	})
	c := w.dialH2(http2test.Options{})
	for range max(tc.calls, 1) {
		var s *http2test.Stream
		if tc.request == aPOST {
			s = must(c.Post("a", "/", []byte("hi"), append(http2test.F("x-key", "k"), more...)))(t)
		} else {
			s = must(c.Get("a", "/", nil))(t)
		}
		statusOf(t, s)
	}
	if n.Load() != tc.want {
		t.Errorf("%d attempts, want %d", n.Load(), tc.want)
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
		"connect":        {set: func(l *policy.Timeouts) { l.Connect, l.Overall = short, 3*time.Second }, slow: time.Minute, reason: "connect_failure"},
		"responseHeader": {set: func(l *policy.Timeouts) { l.ResponseHeader = short }, reason: "per_try_timeout"},
		"write":          {set: func(l *policy.Timeouts) { l.Write = short }, body: 128 << 10, reason: "per_try_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{HoldWindows: true}, Stream: func(s *http2test.Stream) { _, _ = s.AwaitReset() }})
			w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) { tc.set(&s.Timeouts) }))
			w.dialer.slow.Store(int64(tc.slow))
			s := must(w.dialH2(http2test.Options{}).Post("a", "/", make([]byte, tc.body+1), nil))(t)
			if _, head := statusOf(t, s); head.Get("fairlead-reason") != tc.reason {
				t.Errorf("got %v", head)
			}
		})
	}
}

// answering is a proxy in front of a server that answers every stream of HTTP/2 with a status for its path, and counts them.
func answering(t testing.TB, n *atomic.Int64, b policy.Binding, status func(path string) int) *testProxy {
	t.Helper()
	w, _ := scripted(t, b, func(_ int, s *http2test.Stream) {
		n.Add(1)
		head, _ := s.Head()
		_ = s.Respond(status(head.Get(":path")), nil, nil)
	})
	return w
}

func busy(string) int { return 503 }

// getH2 makes a call and returns the head of the response.
func getH2(t testing.TB, c *http2test.Conn, path string) http2test.Fields {
	t.Helper()
	_, head := statusOf(t, must(c.Get("up.example", path, nil))(t))
	return head
}

//enforces:http2 retry.backoff.strategy retry.backoff.initialInterval retry.backoff.maxInterval retry.backoff.multiplier
//enforces:http2 retry.overrides[].backoff.strategy retry.overrides[].backoff.initialInterval retry.overrides[].backoff.maxInterval
//enforces:http2 retry.overrides[].backoff.multiplier
func TestRule15_WaitsGrowAsWrittenOverHTTP2(t *testing.T) {
	for name, tc := range growing {
		for place, put := range placedOn(policy.GatewayError) {
			t.Run(name+"/"+place, func(t *testing.T) {
				var n atomic.Int64
				w := answering(t, &n, toAnyH2(func(s *policy.Settings) {
					b := tc.backoff
					b.Jitter = policy.JitterNone
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, time.Minute
					put(&s.Retry, b)
				}), busy)
				getH2(t, w.dialH2(http2test.Options{}), "/")
				if n.Load() != tc.want {
					t.Errorf("%d attempts, want %d", n.Load(), tc.want)
				}
			})
		}
	}
}

//enforces:http2 retry.backoff.jitter retry.backoff.jitterPercent retry.overrides[].backoff.jitter retry.overrides[].backoff.jitterPercent
func TestRule15_WaitsAreDrawnAsWrittenOverHTTP2(t *testing.T) {
	for name, tc := range drawn {
		for place, put := range placedOn(policy.GatewayError) {
			t.Run(name+"/"+place, func(t *testing.T) {
				var n atomic.Int64
				w := answering(t, &n, toAnyH2(func(s *policy.Settings) {
					b := tc.backoff
					b.Strategy, b.Max = policy.Fixed, b.Initial
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, drawnWithin
					put(&s.Retry, b)
				}), busy)
				c := w.dialH2(http2test.Options{})
				again := false
				for i := int64(1); i <= 40 && !again; i++ {
					getH2(t, c, "/")
					again = n.Load() > i
				}
				if again != tc.fits {
					t.Errorf("a call was attempted again: %v", again)
				}
			})
		}
	}
}

//enforces:http2 retry.budget.window
func TestRule13_OldCallsAreNotInTheBudgetOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(func(s *policy.Settings) {
		s.Retry.On, s.Retry.Budget = policy.Of(policy.GatewayError), policy.Budget{Percent: 20, Window: 20 * time.Millisecond}
	}), statusFor)
	c := w.dialH2(http2test.Options{})
	for range 9 {
		getH2(t, c, "/")
	}
	w.dial().pause(50 * time.Millisecond)
	getH2(t, c, "/503")
	if n.Load() != 10 {
		t.Errorf("%d attempts for 10 calls: one retry of 10 was allowed though the first 9 are long ago", n.Load())
	}
}

//enforces:http2 retry.idempotency.generateKey
func TestRule16_AGeneratedKeyIsTheSameOnEveryAttemptOverHTTP2(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		s.Retry.On, s.Retry.Idempotency, s.Retry.GenerateKey = policy.Of(policy.GatewayError), policy.IdempotentOrKeyed, true
	}), func(n int, s *http2test.Stream) {
		head, _ := s.Head()
		mu.Lock()
		keys = append(keys, head.Get("idempotency-key"))
		mu.Unlock()
		_, _ = s.Body()
		_ = s.Respond([]int{503, 200}[n%2], nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	for range 2 {
		if status, _ := statusOf(t, must(c.Post("up.example", "/", []byte("hi"), nil))(t)); status != "200" {
			t.Fatalf("got %s", status)
		}
	}
	if len(keys) != 4 || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] || len(keys[0]) != 36 {
		t.Errorf("keys %q", keys)
	}
}

//enforces:http2 rules[].name rules[].match[].methods rules[].match[].path.type rules[].match[].path.value
func TestCallsFindTheirRuleOverHTTP2(t *testing.T) {
	b := ruled()
	b.To.Protocol = policy.ProtocolAuto
	for request, rule := range ruledCalls {
		t.Run(request, func(t *testing.T) {
			var n atomic.Int64
			w := answering(t, &n, b, busy)
			method, path, _ := strings.Cut(request, " ")
			statusOf(t, must(w.dialH2(http2test.Options{}).Request(true, http2test.Head(method, "a", path)))(t))
			want := int64(2)
			if rule != "" {
				want = 3
			}
			if n.Load() != want {
				t.Errorf("%d attempts, want %d", n.Load(), want)
			}
			if got := w.seen.lastCall(t).Rule; got != rule {
				t.Errorf("reported under rule %q, want %q", got, rule)
			}
		})
	}
}

// Where HTTP/2 is declared nothing else passes; found out, it does.
//
//enforces:http2 to[].protocol
//notover:intercept what is inside TLS is agreed on before
func TestWhatIsNoHTTP2IsRefusedWhereItIsDeclared(t *testing.T) {
	var n atomic.Int64
	b := toAnyH2(nil)
	b.To.Protocol = policy.ProtocolHTTP2
	w := build(t, counted(t, &n, always(answer(200, ""))), b)
	c := w.dial()
	c.send(aGET)
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r, 40)) // the end, or an answer
	if n := w.dialer.dials.Load(); n != 0 {
		t.Fatalf("%d connections to the server", n)
	}
	w.waitFor(t, func() bool { return w.events.malformed.Load() == 1 })
}
