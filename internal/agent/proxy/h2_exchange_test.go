package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

func echoH2(rw http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	fmt.Fprintf(rw, "%s %s %s %s", q.Proto, q.Method, q.RequestURI, body)
}

//enforces:http2 to[].protocol
func TestAnExchangeOverHTTP2(t *testing.T) {
	for name, p := range map[string]policy.Protocol{"found out": policy.ProtocolAuto, "declared": policy.ProtocolHTTP2, "gRPC": policy.ProtocolGRPC} {
		t.Run(name, func(t *testing.T) {
			b := toAny(everything)
			b.To.Protocol = p
			w := build(t, serveH2(t, echoH2), b)
			c := w.clientH2()
			for i := range 3 {
				res, body := do(t, c, "GET", "/a?b", "")
				if res.StatusCode != 200 || body != "HTTP/2.0 GET /a?b " {
					t.Fatalf("call %d: got %d %q", i, res.StatusCode, body)
				}
			}
			if res, body := do(t, c, "POST", "/", "hello"); res.StatusCode != 200 || body != "HTTP/2.0 POST / hello" {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
			if e := w.seen.lastCall(t); e.Outcome.Kind != call.OK || e.Outcome.Status != 200 || e.Outcome.Truncated {
				t.Errorf("outcome %+v", e.Outcome)
			}
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("%d connections were made, want 1", n)
			}
		})
	}
}

func TestLargeBodiesOverHTTP2(t *testing.T) {
	w := build(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) { _, _ = io.Copy(rw, q.Body) }), toAnyH2(everything))
	body := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	for range 3 {
		if res, got := do(t, w.clientH2(), "POST", "/", body); res.StatusCode != 200 || got != body {
			t.Fatalf("got %d, %d bytes of %d", res.StatusCode, len(got), len(body))
		}
	}
}
