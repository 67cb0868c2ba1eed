package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// failingDialer fails with err.
type failingDialer struct {
	err   error
	dials atomic.Int64
}

func (d *failingDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	d.dials.Add(1)
	return nil, d.err
}

// endedError says that a pod is no more, as capture does.
type endedError struct{}

func (endedError) Error() string { return "the pod is not captured" }
func (endedError) Gone() bool    { return true }

// neighbours is a proxy with two pods under one policy: calls of pod go well, those of "other" cannot be dialled.
type neighbours struct {
	t      testing.TB
	server *Server
	up     netip.AddrPort
}

func buildNeighbours(t *testing.T, d *failingDialer, b policy.Binding) *neighbours {
	t.Helper()
	return buildNeighboursAt(t, serve(t, echo), d, nil, b)
}

// buildNeighboursAt is buildNeighbours for calls to an address, with other dialling of "other", and with Services.
func buildNeighboursAt(t *testing.T, up netip.AddrPort, d upstream.Dialer, services map[string]*policy.Destination, b policy.Binding) *neighbours {
	t.Helper()
	ring := &notifier{}
	good := &plainDialer{notifier: ring}
	good.blind.Store(true) // it does not know where clients connect to
	s, err := routes.New(routes.Options{Dialer: func(uid string) upstream.Dialer {
		if uid == pod {
			return good
		}
		return d
	}})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Profile: "p"}, "other": {UID: "other", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: governed(b)}}, Destinations: services,
	}
	over.complete(snapshot)
	s.Install(snapshot)
	n := &neighbours{t: t, up: up}
	if n.server, err = New(Options{Store: s, Events: &recordedEvents{notifier: ring, t: t}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = s.Run(ctx) }()
	t.Cleanup(func() {
		stop, done := context.WithCancel(context.Background())
		done()
		_ = n.server.Shutdown(stop)
		cancel()
		<-ran
	})
	return n
}

// dial opens a connection of a pod.
func (n *neighbours) dial(uid string) *client {
	n.t.Helper()
	return n.dialFor(uid, tlslayer.HTTP1)
}

// dialH2 is dial for a client whose frames the test writes.
func (n *neighbours) dialH2(uid string) *http2test.Conn {
	n.t.Helper()
	return http2test.Speak(n.t, n.dialFor(uid, tlslayer.HTTP2), http2test.Options{})
}

// dialFor is dial for a protocol, which matters where there is TLS.
func (n *neighbours) dialFor(uid, protocol string) *client {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	captured, err := l.Accept()
	if err != nil {
		n.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { n.server.ServeCaptured(uid, captured.(*net.TCPConn), n.up) })
	n.t.Cleanup(func() { c.Close(); wg.Wait() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return newClient(n.t, c.(*net.TCPConn), protocol)
}

// What goes wrong on the node, or because a pod has ended, is no news of the upstream: it is not retried, and the breaker that the
// node's pods share does not open for it.
func TestRule12_OwnDialFailuresDoNotOpenTheNodesBreaker(t *testing.T) {
	for name, err := range map[string]error{
		"the pod has ended":   endedError{},
		"no ports are left":   &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL},
		"no descriptors":      &net.OpError{Op: "dial", Err: syscall.EMFILE},
		"forbidden":           &net.OpError{Op: "dial", Err: syscall.EPERM},
		"closed under us":     net.ErrClosed,
		"nobody knows why":    errors.New("connection refused, it says"),
		"and none to be made": &net.OpError{Op: "dial", Err: syscall.ENOBUFS},
	} {
		t.Run(name, func(t *testing.T) {
			d := &failingDialer{err: err}
			n := buildNeighbours(t, d, toAny(func(s *policy.Settings) {
				br := policy.DefaultBreaker()
				br.ConsecutiveFailures = 1
				s.Breaker = &br
			}))
			const calls = 3
			for range calls {
				c := n.dial("other")
				c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				_, _ = io.Copy(io.Discard, c.r) // an answer of the agent's, or the end
			}
			if dials := d.dials.Load(); dials != calls {
				t.Errorf("%d dials for %d calls", dials, calls)
			}
			if res, body := n.dial(pod).get("/"); res.StatusCode != 200 {
				t.Errorf("the other pod got %d %q", res.StatusCode, body)
			}
		})
	}
}

// An upgraded connection is no request under way: however many there are, requests have their places.
func TestRule25_TunnelsLeavePlacesToRequests(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if q.Header.Get("Upgrade") != "" {
				p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
				_, _ = io.Copy(p, p.r)
				return
			}
			p.ok("fine")
		}
	}), toAny(func(s *policy.Settings) { s.Pool.MaxConnections, s.Pool.MaxPending = 1, 0 }))
	var tunnels []*client
	for range 4 {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
		if res, _ := c.response("GET"); res.StatusCode != 101 {
			t.Fatalf("got %d %v", res.StatusCode, res.Header)
		}
		// The head may arrive an instant before the place is free: what the tunnel carries comes after that.
		c.send("hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.r, b); err != nil || string(b) != "hello" {
			t.Fatalf("got %q, %v", b, err)
		}
		tunnels = append(tunnels, c)
	}
	if res, body := w.dial().get("/"); res.StatusCode != 200 || body != "fine" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	for _, c := range tunnels {
		_ = c.CloseWrite()
		c.expectEnd()
	}
}
