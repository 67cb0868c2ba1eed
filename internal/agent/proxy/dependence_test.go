package proxy

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
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

// Where the node translates addresses the requests of one connection may go to an endpoint that the client chose, and to the Service: what
// matters is the one before.
func TestRule25_AConnectionThatHasTurnedToTheServiceStays(t *testing.T) {
	end := make(chan struct{})
	w := build(t, serve(t, func(n int, p *peer) {
		for range 2 {
			p.request()
			p.ok("well")
		}
		if n == 0 {
			<-end
		}
	}))
	b := toAny(nil)
	b.To = policy.Target{Kind: policy.TargetService, Service: "ns/up", Protocol: policy.ProtocolHTTP}
	w.services = map[string]*policy.Destination{"ns/up": {
		Name: "ns/up", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7")}, Hostnames: []string{"shop"},
		Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(w.original)}},
	}}
	w.install(b)
	w.store.SetTranslated(true, true)
	c := w.dial()
	for _, host := range []string{"10.0.0.1", "shop"} {
		c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		c.response("GET")
	}
	close(end)
	c.pause(time.Second) // time for looks at the server
	c.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
}
