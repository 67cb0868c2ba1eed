package proxy

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// An idle connection whose client chose the address ends when its server's does, and as that did.
func TestRule25_AnIdlePinnedConnectionEndsWithItsServer(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*peer)
		want error
	}{
		"closed": {func(*peer) {}, io.EOF},
		"reset":  {func(p *peer) { _ = p.SetLinger(0) }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			answered := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				p.request()
				p.ok("well")
				<-answered
				tc.end(p)
			}), toAny(nil))
			c := w.dial()
			c.get("/")
			close(answered)
			if _, err := c.r.ReadByte(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// The agent ends its own connection before the server would, and the client's when the server has said that it would.
func TestRule25_AnIdlePinnedConnectionEndsAsAnnounced(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		p.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n")
		_, _ = p.r.ReadByte()
	}), toAny(nil))
	c := w.dial()
	c.get("/")
	c.expectEnd()
}

// Where the agent chooses the server, the end of one is nobody's but the agent's business.
func TestRule25_AConnectionToAServiceStays(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		p.ok("well")
	}))
	w.serviceOf(nil)
	c := w.dial()
	c.get("/")
	c.pause(time.Second) // time for looks at the server
	c.get("/")
}
