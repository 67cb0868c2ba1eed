package proxy

import (
	"fmt"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// A client takes 2xx to CONNECT for a tunnel: one that could not be made is never answered so, whatever the policy says. Other statuses are.
func TestNoFallbackSaysThatATunnelIsMade(t *testing.T) {
	for status, want := range map[int]int{200: 502, 203: 502, 299: 502, 404: 404, 503: 503} {
		response := policy.FallbackResponse{Status: status, Body: "sorry"}
		t.Run(fmt.Sprint("HTTP/1, ", status), func(t *testing.T) {
			w := build(t, counted(t, new(atomic.Int64), always(answer(200, ""))), toAny(fallsBack(response)))
			w.dialer.refuse.Store(100)
			c := w.dial()
			c.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
			if res, _ := c.response("CONNECT"); res.StatusCode != want || res.Header.Get("fairlead-reason") != "connect_failure" {
				t.Errorf("got %d, want %d: %v", res.StatusCode, want, res.Header)
			}
		})
		t.Run(fmt.Sprint("HTTP/2, ", status), func(t *testing.T) {
			w := answering(t, new(atomic.Int64), toAnyH2(fallsBack(response)), busy)
			w.dialer.refuse.Store(100)
			c := w.dialH2(http2test.Options{})
			s := must(c.Request(false, http2test.F(":method", "CONNECT", ":authority", "a:443")))(t)
			if got, head := statusOf(t, s); got != fmt.Sprint(want) || head.Get("fairlead-reason") != "connect_failure" {
				t.Errorf("got %s, want %d: %v", got, want, head)
			}
		})
	}
}
