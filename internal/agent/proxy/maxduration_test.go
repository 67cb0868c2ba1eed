package proxy

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// brief ends every exchange soon after its beginning.
func brief(s *policy.Settings) { s.Timeouts.MaxDuration = 4 * drive.FirstCheck }

// expectReset sends until the connection is reset, and fails when it ends otherwise.
func (c *client) expectReset() {
	c.t.Helper()
	for {
		if _, err := io.WriteString(c, "more"); err != nil {
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				c.t.Fatalf("sending: %v, want a reset", err)
			}
			return
		}
		if _, err := c.r.ReadByte(); err != nil {
			if !errors.Is(err, syscall.ECONNRESET) {
				c.t.Fatalf("reading: %v, want a reset", err)
			}
			return
		}
	}
}

// head reads a response up to its empty line.
func (c *client) head() {
	c.t.Helper()
	for {
		if line, err := c.r.ReadString('\n'); err != nil {
			c.t.Fatal(err)
		} else if line == "\r\n" {
			return
		}
	}
}

// What a call has turned into a tunnel is still the call's exchange, however much moves in it.
func TestRule01_ATunnelEndsAtMaxDuration(t *testing.T) {
	for name, tc := range map[string]struct{ request, response string }{
		"upgrade": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
		},
		"connect": {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				defer close(ended)
				p.headOnly()
				p.send(tc.response)
				_, _ = io.Copy(p, p.r)
			}), toAny(brief))
			c := w.dial()
			c.send(tc.request)
			c.head()
			c.expectReset()
			<-ended
		})
	}
}

// So is a connection that is passed through.
//
//enforces:opaque timeouts.maxDuration
func TestRule01_APassedConnectionEndsAtMaxDuration(t *testing.T) {
	for name, kind := range kinds {
		if !kind.governed {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				defer close(ended)
				_, _ = io.Copy(p, p.r)
			}), kind.bindings(brief)...)
			c := w.dial()
			c.send(kind.opening)
			c.expectReset()
			<-ended
		})
	}
}
