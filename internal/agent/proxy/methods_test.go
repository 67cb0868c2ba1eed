package proxy

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// methodCases say of methods which modes of idempotency let a request with a body be repeated. A method of each class and reason for it.
var methodCases = map[string]struct{ safe, idempotent bool }{
	"QUERY":    {safe: true, idempotent: true}, // RFC 10008: safe, though the question is in the body
	"REPORT":   {safe: true, idempotent: true},
	"SEARCH":   {safe: true, idempotent: true},
	"PROPFIND": {safe: true, idempotent: true},
	"PUT":      {idempotent: true},
	"DELETE":   {idempotent: true},
	"MKCOL":    {idempotent: true},
	"POST":     {},
	"PATCH":    {},
	"LOCK":     {},
	"PURGE":    {}, // not registered
	"query":    {}, // methods are case-sensitive
}

// wantAttempts is how often an upstream that is busy once is asked.
func wantAttempts(allowed bool) int64 {
	if allowed {
		return 2
	}
	return 1
}

// eachMethod calls f with every method, mode and what is expected of them.
func eachMethod(t *testing.T, f func(t *testing.T, method string, set func(*policy.Settings), want int64)) {
	for method, is := range methodCases {
		for mode, allowed := range map[policy.Idempotency]bool{policy.SafeMethods: is.safe, policy.IdempotentMethods: is.idempotent} {
			t.Run(fmt.Sprint(method, "/", mode), func(t *testing.T) {
				f(t, method, func(s *policy.Settings) { s.Retry.On, s.Retry.Idempotency = policy.Of(policy.GatewayError), mode }, wantAttempts(allowed))
			})
		}
	}
}

// A method's class is that of the registry, whether or not its requests have a body, which every attempt carries.
//
//overtls:originate,intercept
func TestRule09_MethodsAreRepeatedByTheRegistry(t *testing.T) {
	eachMethod(t, func(t *testing.T, method string, set func(*policy.Settings), want int64) {
		var n atomic.Int64
		w := build(t, serve(t, func(_ int, p *peer) {
			for {
				q, body, ok := p.request()
				switch {
				case !ok:
					return
				case n.Add(1) == 1:
					p.send(answer(503, ""))
				default:
					p.ok(q.Method + " " + body)
				}
			}
		}), toAny(set))
		c := w.dial()
		c.send(method + " /r HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nquestion")
		res, got := c.response("PUT")
		if n.Load() != want || want == 2 && (res.StatusCode != 200 || got != method+" question") {
			t.Errorf("got %d %q after %d attempts, want %d", res.StatusCode, got, n.Load(), want)
		}
	})
}

//overtls:originate,intercept
func TestRule09_MethodsAreRepeatedByTheRegistryOverHTTP2(t *testing.T) {
	eachMethod(t, func(t *testing.T, method string, set func(*policy.Settings), want int64) {
		var n atomic.Int64
		w := buildH2(t, serveH2(t, func(out http.ResponseWriter, q *http.Request) {
			body, _ := io.ReadAll(q.Body)
			if n.Add(1) == 1 {
				out.WriteHeader(503)
				return
			}
			_, _ = fmt.Fprintf(out, "%s %s", q.Method, body)
		}), toAnyH2(set))
		res, got := do(t, w.clientH2(), method, "/r", "question")
		if n.Load() != want || want == 2 && (res.StatusCode != 200 || got != method+" question") {
			t.Errorf("got %d %q after %d attempts, want %d", res.StatusCode, got, n.Load(), want)
		}
	})
}
