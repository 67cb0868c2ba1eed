package proxy

import (
	"strings"
	"testing"
)

// Each request of a pipeline is a step of its pod, so that one that sends its requests in that way waits for the others like any other.
func TestPipelinedRequestsTakeTurns(t *testing.T) {
	for name, request := range map[string]string{
		"without bodies": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"with bodies":    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, echo), toAny(nil))
			w.installFor(toAny(nil), pod, "other")
			if res, _ := w.dialAs("other").get("/"); res.StatusCode != 200 {
				t.Fatalf("got %d", res.StatusCode)
			}
			const requests = 300
			before := w.server.turns.Rounds()
			c := w.dial()
			go c.send(strings.Repeat(request, requests)) // the answers are read meanwhile
			for range requests {
				if res, _ := c.response(request[:3]); res.StatusCode != 200 {
					t.Fatalf("got %d", res.StatusCode)
				}
			}
			if n := w.server.turns.Rounds() - before; n == 0 {
				t.Errorf("%d pipelined requests have waited for nobody", requests)
			}
		})
	}
}
