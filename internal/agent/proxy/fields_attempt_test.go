package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// marks are the values of fairlead-attempt that a server has seen, one for each request; "-" stands for none.
type marks struct {
	mu   sync.Mutex
	seen []string
}

// add notes those of a request, and returns how many have come.
func (m *marks) add(h http.Header) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := strings.Join(h.Values("fairlead-attempt"), ", ")
	if v == "" {
		v = "-"
	}
	m.seen = append(m.seen, v)
	return len(m.seen)
}

func (m *marks) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen
	m.seen = nil
	return seen
}

// markCases are what a call arrives with, and what its three attempts carry.
var markCases = map[string]struct {
	asked bool
	given string
	want  [3]string
}{
	"asked for":                    {true, "", [3]string{"1", "2;reason=upstream_failure", "3;reason=upstream_failure"}},
	"not asked for":                {false, "", [3]string{"-", "-", "-"}},
	"not asked for, and passed on": {false, "2;reason=reset", [3]string{"2;reason=reset", "2;reason=reset", "2;reason=reset"}},
	"of a retry that arrives":      {true, "2;reason=reset", [3]string{"2;reason=reset", "3;reason=upstream_failure", "4;reason=upstream_failure"}},
	"of a first one that arrives":  {true, "1", [3]string{"1", "2;reason=upstream_failure", "3;reason=upstream_failure"}},
	"nonsense is replaced":         {true, "x; 9", [3]string{"1", "2;reason=upstream_failure", "3;reason=upstream_failure"}},
	"too much to believe":          {true, "99999999999", [3]string{"99999999999", "1002;reason=upstream_failure", "1003;reason=upstream_failure"}},
}

func marking(asked bool) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.On, s.AttemptHeader = policy.Of(policy.GatewayError), asked }
}

// Attempts carry their number and why there is more than one, if that is asked for, with whatever else is added to them, body or not.
//
//enforces:http1 observability.requestHeaders.attempt
func TestAttemptsAreNumbered(t *testing.T) {
	for name, tc := range markCases {
		for _, body := range []string{"", "hello"} {
			t.Run(fmt.Sprint(name, "/", len(body)), func(t *testing.T) {
				var m marks
				keys := make(chan string, 3)
				w := build(t, serve(t, func(_ int, p *peer) {
					for {
						q, got, ok := p.request()
						if !ok {
							return
						}
						keys <- q.Header.Get("X-Key") + " " + got
						if m.add(q.Header) < 3 {
							p.send(answer(503, ""))
							continue
						}
						p.ok("")
					}
				}), toAny(func(s *policy.Settings) {
					marking(tc.asked)(s)
					s.Retry.Idempotency, s.Retry.KeyHeader, s.Retry.GenerateKey = policy.IdempotentOrKeyed, "X-Key", true
				}))
				field := ""
				if tc.given != "" {
					field = "Fairlead-Attempt: " + tc.given + "\r\n"
				}
				c := w.dial()
				c.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\n%sX-Key:\r\nContent-Length: %d\r\n\r\n%s", field, len(body), body))
				c.response("PUT")
				if d := cmp.Diff(tc.want[:], m.take()); d != "" {
					t.Error(d)
				}
				first := <-keys
				if second, third := <-keys, <-keys; first != second || second != third || len(first) <= len(body)+1 {
					t.Errorf("the attempts carry the keys and bodies %q, %q, %q", first, second, third)
				}
			})
		}
	}
}

//enforces:http2 observability.requestHeaders.attempt
func TestAttemptsAreNumberedOverHTTP2(t *testing.T) {
	for name, tc := range markCases {
		for _, body := range []string{"", "hello"} {
			t.Run(fmt.Sprint(name, "/", len(body)), func(t *testing.T) {
				var m marks
				w := buildH2(t, serveH2(t, func(out http.ResponseWriter, q *http.Request) {
					got, _ := io.ReadAll(q.Body)
					if string(got) != body {
						t.Errorf("an attempt has the body %q", got)
					}
					if m.add(q.Header) < 3 {
						out.WriteHeader(503)
					}
				}), toAnyH2(marking(tc.asked)))
				q, err := http.NewRequestWithContext(t.Context(), "PUT", "http://up.example/", strings.NewReader(body))
				check(t, err)
				if tc.given != "" {
					q.Header.Set("fairlead-attempt", tc.given)
				}
				res, err := w.clientH2().Do(q)
				check(t, err)
				res.Body.Close()
				if d := cmp.Diff(tc.want[:], m.take()); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

// A reset and a hedge are reasons of their own.
func TestReasonsOfAttempts(t *testing.T) {
	t.Run("a reset", func(t *testing.T) {
		var m marks
		w := build(t, serve(t, func(_ int, p *peer) {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if m.add(q.Header) == 1 {
				_ = p.SetLinger(0)
				return
			}
			p.ok("")
		}), toAny(func(s *policy.Settings) { s.Retry.On, s.AttemptHeader = policy.Of(policy.Reset), true }))
		w.dial().get("/")
		if d := cmp.Diff([]string{"1", "2;reason=reset"}, m.take()); d != "" {
			t.Error(d)
		}
	})
	t.Run("a hedge", func(t *testing.T) {
		var m marks
		both := make(chan struct{})
		w := build(t, serve(t, func(_ int, p *peer) {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if m.add(q.Header) == 2 {
				close(both)
			}
			select {
			case <-both:
			case <-time.After(patience):
			}
			p.ok("")
		}), toAny(hedges(afterDelay(1), func(s *policy.Settings) { s.AttemptHeader = true })))
		w.dial().get("/")
		seen := m.take()
		if len(seen) != 2 || seen[0] != "1" && seen[1] != "1" || seen[0] != "2;reason=hedge" && seen[1] != "2;reason=hedge" {
			t.Errorf("%q", seen)
		}
	})
}

// skipCases are calls that arrive marked, or not, and how often they are tried.
var skipCases = map[string]struct {
	skip    bool
	name    string
	value   string
	want    int
	decided call.RetryDecision
}{
	"a retry":              {true, "fairlead-attempt", "2;reason=reset", 1, call.AlreadyRetried},
	"a first attempt":      {true, "fairlead-attempt", "1", 3, call.Exhausted},
	"unmarked":             {true, "x", "y", 3, call.Exhausted},
	"nonsense":             {true, "fairlead-attempt", "2, 2", 3, call.Exhausted},
	"a retry, not to skip": {false, "fairlead-attempt", "2", 3, call.Exhausted},
}

func skippingRetried(skip bool) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.On, s.Retry.SkipRetried = policy.Of(policy.GatewayError), skip }
}

// A call that arrives as a retry is not retried here, if that is written, and is counted. What it carries goes on.
//
//enforces:http1 retry.alreadyRetried
func TestCallsThatArriveAsARetryAreNotRetried(t *testing.T) {
	for name, tc := range skipCases {
		t.Run(name, func(t *testing.T) {
			var m marks
			w := build(t, serve(t, func(_ int, p *peer) {
				for {
					q, _, ok := p.request()
					if !ok {
						return
					}
					m.add(q.Header)
					p.send(answer(503, ""))
				}
			}), toAny(skippingRetried(tc.skip)))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: a\r\n" + tc.name + ": " + tc.value + "\r\n\r\n")
			c.response("GET")
			if seen := m.take(); len(seen) != tc.want || tc.name == "fairlead-attempt" && seen[0] != tc.value {
				t.Errorf("the attempts carry %q, want %d of them", seen, tc.want)
			}
			if d := w.seen.lastCall(t).Outcome.Decision; d != tc.decided {
				t.Errorf("%v, want %v", d, tc.decided)
			}
		})
	}
}

//enforces:http2 retry.alreadyRetried
func TestCallsThatArriveAsARetryAreNotRetriedOverHTTP2(t *testing.T) {
	for name, tc := range skipCases {
		t.Run(name, func(t *testing.T) {
			var m marks
			w := buildH2(t, serveH2(t, func(out http.ResponseWriter, q *http.Request) {
				m.add(q.Header)
				out.WriteHeader(503)
			}), toAnyH2(skippingRetried(tc.skip)))
			q, err := http.NewRequestWithContext(t.Context(), "GET", "http://up.example/", nil)
			check(t, err)
			q.Header.Set(tc.name, tc.value)
			res, err := w.clientH2().Do(q)
			check(t, err)
			res.Body.Close()
			if seen := m.take(); len(seen) != tc.want || tc.name == "fairlead-attempt" && seen[0] != tc.value {
				t.Errorf("the attempts carry %q, want %d of them", seen, tc.want)
			}
			if d := w.seen.lastCall(t).Outcome.Decision; d != tc.decided {
				t.Errorf("%v, want %v", d, tc.decided)
			}
		})
	}
}
