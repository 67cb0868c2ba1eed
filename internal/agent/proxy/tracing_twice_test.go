package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// A call that arrives with two traceparents is in no trace that could be gone on with, whichever of them comes first.
func TestTwoTraceparentsAreNone(t *testing.T) {
	other := strings.Replace(sampled, parentSpan, "00f067aa0ba902b8", 1)
	t.Run("http1", func(t *testing.T) {
		var seen contexts
		w := build(t, serve(t, func(_ int, p *peer) {
			if q, _, ok := p.request(); ok {
				seen.add(q.Header)
				p.ok("")
			}
		}), toAny(tracing(100)))
		spans := collect(t, w)
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " + sampled + "\r\nTraceparent: " + other + "\r\ntracestate: a=b\r\n\r\n")
		c.response("GET")
		list := spans.after(1)
		checkCallSpan(t, "new", list[0])
		if got := seen.all(); len(got) != 1 || len(got[0].parent) != len(sampled) || got[0].state != "" {
			t.Errorf("the server has seen %q", got)
		}
	})
	t.Run("http2", func(t *testing.T) {
		var seen contexts
		w := buildH2(t, serveH2(t, func(_ http.ResponseWriter, q *http.Request) { seen.add(q.Header) }), toAnyH2(tracing(100)))
		spans := collect(t, w)
		q, err := http.NewRequestWithContext(t.Context(), "GET", "http://up.example/", nil)
		check(t, err)
		q.Header["Traceparent"], q.Header["Tracestate"] = []string{sampled, other}, []string{"a=b"}
		res, err := w.clientH2().Do(q)
		check(t, err)
		res.Body.Close()
		list := spans.after(1)
		checkCallSpan(t, "new", list[0])
		if got := seen.all(); len(got) != 1 || len(got[0].parent) != len(sampled) || got[0].state != "" {
			t.Errorf("the server has seen %q", got)
		}
	})
}
