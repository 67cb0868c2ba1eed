package proxy

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// That a server accepts connections does not say that it answers requests: a bare connect and close, as of a TCP check, neither keeps the
// breaker of requests closed nor closes it.
func TestRule22_ConnectionsThatArePassedThroughSayNothingOfRequests(t *testing.T) {
	b := toAny(func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.OpenDuration = 3, time.Hour
		s.Breaker = &b
	})
	b.To.Protocol = policy.ProtocolAuto
	w := build(t, serve(t, toEach(func(p *peer) { p.send(answer(500, "broken")) })), b)
	check := func() {
		c := w.dial()
		defer func() { _ = c.Close() }()
		_ = c.CloseWrite()
		_, _ = c.r.ReadByte() // until the server has ended its side too
	}
	c := w.dial()
	for i := range 6 {
		res, _ := c.get("/")
		if rejected := res.StatusCode == 503; rejected != (i >= 3) {
			t.Errorf("request %d: status %d", i, res.StatusCode)
		}
		check()
	}
}
