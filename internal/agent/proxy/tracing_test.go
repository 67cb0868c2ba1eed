package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"fairlead.dev/fairlead/internal/agent/telemetry/spans/spanstest"
	"fairlead.dev/fairlead/internal/policy"
)

// A traced call has a span, and each attempt one of its own, which its server is given as the parent. What is not traced passes as it is.
//
//enforces:http1 observability.tracing.samplePercent
func TestCallsAreTraced(t *testing.T) {
	for name, tc := range traceCases {
		for _, body := range []string{"", "hello"} {
			t.Run(fmt.Sprint(name, "/", len(body)), func(t *testing.T) {
				var seen contexts
				w := build(t, serve(t, func(_ int, p *peer) {
					for {
						q, got, ok := p.request()
						if !ok {
							return
						}
						if got != body {
							t.Errorf("an attempt has the body %q", got)
						}
						if seen.add(q.Header) < 3 {
							p.send(answer(503, ""))
							continue
						}
						p.ok("")
					}
				}), toAny(tracing(tc.percent)))
				spans := collect(t, w)
				fields := ""
				if tc.given != (said{}) {
					fields = "TraceParent: " + tc.given.parent + "\r\ntracestate: " + tc.given.state + "\r\n"
				}
				c := w.dial()
				c.send(fmt.Sprintf("PUT /a?b=c HTTP/1.1\r\nHost: up.example:81\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(body), body))
				c.response("PUT")
				checkContexts(t, tc.given, tc.trace, seen.all(), spans.after(1))
			})
		}
	}
}

//enforces:http2 observability.tracing.samplePercent
func TestCallsAreTracedOverHTTP2(t *testing.T) {
	for name, tc := range traceCases {
		t.Run(name, func(t *testing.T) {
			var seen contexts
			w := buildH2(t, serveH2(t, func(out http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
				if seen.add(q.Header) < 3 {
					out.WriteHeader(503)
				}
			}), toAnyH2(tracing(tc.percent)))
			spans := collect(t, w)
			q, err := http.NewRequestWithContext(t.Context(), "PUT", "http://up.example/", strings.NewReader("hello"))
			check(t, err)
			if tc.given != (said{}) {
				q.Header.Set("traceparent", tc.given.parent)
				q.Header.Set("tracestate", tc.given.state)
			}
			res, err := w.clientH2().Do(q)
			check(t, err)
			res.Body.Close()
			checkContexts(t, tc.given, tc.trace, seen.all(), spans.after(1))
		})
	}
}

// attributesOf are the attributes of spans, but for those that differ from run to run.
func attributesOf(list []*tracepb.Span) (out []map[string]any) {
	for _, s := range list {
		a := spanstest.Attributes(s.GetAttributes())
		a["name"], a["failed"] = s.GetName(), s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
		delete(a, "network.peer.port")
		out = append(out, a)
	}
	return out
}

// Spans say what the conventions have for HTTP, and what fairlead has done.
func TestWhatSpansSay(t *testing.T) {
	w := build(t, serve(t, func(n int, p *peer) {
		for {
			q, _, ok := p.request()
			switch {
			case !ok:
				return
			case n == 0:
				_ = p.SetLinger(0)
				return
			case strings.HasSuffix(q.URL.Path, "none"):
				p.send(answer(404, ""))
			default:
				p.ok("")
			}
		}
	}), toAny(func(s *policy.Settings) {
		tracing(100)(s)
		s.Retry.On = policy.Of(policy.Reset)
	}))
	spans := collect(t, w)
	c := w.dial()
	c.send("GET /a?secret=1 HTTP/1.1\r\nHost: up.example:81\r\n\r\n")
	c.response("GET")
	c.send("BREW /none HTTP/1.1\r\nHost: up.example:81\r\n\r\n")
	c.response("BREW")
	call := func(more map[string]any) map[string]any {
		out := map[string]any{
			"server.address": "up.example", "server.port": int64(81), "k8s.pod.uid": pod,
			"fairlead.policy": "ns/p", "fairlead.target": "any",
		}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	attempt := func(more map[string]any) map[string]any {
		out := map[string]any{"server.address": "up.example", "server.port": int64(81), "network.peer.address": "127.0.0.1"}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	want := []map[string]any{
		call(map[string]any{
			"name": "GET", "failed": false, "http.request.method": "GET", "url.path": "/a", "http.response.status_code": int64(200),
			"fairlead.retry_decision": "recovered", "fairlead.attempts": int64(2),
		}),
		attempt(map[string]any{
			"name": "GET", "failed": true, "http.request.method": "GET", "url.path": "/a", "error.type": "reset",
			"fairlead.attempt.start": "first", "fairlead.detail": "connection reset",
		}),
		attempt(map[string]any{
			"name": "GET", "failed": false, "http.request.method": "GET", "url.path": "/a", "http.response.status_code": int64(200),
			"http.request.resend_count": int64(1), "fairlead.attempt.start": "retry", "fairlead.attempt.number": int64(2), "fairlead.attempt.reason": "reset",
		}),
		call(map[string]any{
			"name": "HTTP", "failed": true, "http.request.method": "_OTHER", "http.request.method_original": "BREW", "url.path": "/none",
			"http.response.status_code": int64(404), "error.type": "404", "fairlead.retry_decision": "not_needed", "fairlead.attempts": int64(1),
		}),
		attempt(map[string]any{
			"name": "HTTP", "failed": true, "http.request.method": "_OTHER", "http.request.method_original": "BREW", "url.path": "/none",
			"http.response.status_code": int64(404), "error.type": "404", "fairlead.attempt.start": "first",
		}),
	}
	got := attributesOf(spans.after(2))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Each of two attempts at once has a span, and the one that lost says so.
func TestHedgesAreTraced(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, seen *contexts) (*testProxy, func()){
		"HTTP/1.1": func(t *testing.T, seen *contexts) (*testProxy, func()) {
			w := build(t, serve(t, func(_ int, p *peer) {
				if q, _, ok := p.request(); ok && seen.add(q.Header) > 1 {
					p.ok("")
				} else {
					_, _ = p.r.ReadByte() // until it is given up
				}
			}), toAny(hedges(afterDelay(1), tracing(100))))
			return w, func() { w.dial().get("/") }
		},
		"HTTP/2": func(t *testing.T, seen *contexts) (*testProxy, func()) {
			w := buildH2(t, serveH2(t, func(_ http.ResponseWriter, q *http.Request) {
				if seen.add(q.Header) == 1 {
					<-q.Context().Done()
				}
			}), toAnyH2(hedges(afterDelay(1), tracing(100))))
			return w, func() {
				res, err := w.clientH2().Get("http://up.example/")
				check(t, err)
				res.Body.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen contexts
			w, once := begin(t, &seen)
			spans := collect(t, w)
			once()
			list := spans.after(1)
			if len(list) != 3 {
				t.Fatalf("%d spans", len(list))
			}
			starts := map[any]any{}
			for _, a := range attributesOf(list[1:]) {
				starts[a["fairlead.attempt.start"]] = a["error.type"]
			}
			if d := cmp.Diff(map[any]any{"first": "superseded", "hedge": nil}, starts); d != "" {
				t.Error(d)
			}
			for i, s := range seen.all() {
				if !strings.Contains(s.parent, fmt.Sprintf("-%x-", list[1].GetSpanId())) && !strings.Contains(s.parent, fmt.Sprintf("-%x-", list[2].GetSpanId())) {
					t.Errorf("attempt %d carries %q, which is none of the spans", i+1, s.parent)
				}
			}
		})
	}
}
