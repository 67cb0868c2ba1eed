package proxy

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// closedAddress returns an address at which nothing listens, nor will: its port stays bound until the test ends.
func closedAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	a := bound.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
}

func TestRule33_ACallKeepsItsVersion(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 1 {
			close(arrived)
			<-release
		}
		p.send(answer(503, fmt.Sprint(n.Load())))
	})), toAny(func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 2 }))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	w.install(toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
	close(release)
	if _, body := c.response("GET"); body != "3" {
		t.Fatalf("the call under way made %s attempts, want 3", body)
	}
	if _, body := c.get("/"); body != "4" {
		t.Fatalf("the next call ended with attempt %s, want 4", body)
	}
}

func TestRule34_ConnectionsOutliveThePolicy(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	c.get("/1")
	w.install()
	if _, body := c.get("/2"); body != "GET /2 " {
		t.Fatalf("got %q", body)
	}
	if w.events.passed[PassedUnmatched].Load() != 1 {
		t.Error("the rest was not passed through")
	}
}

func TestUnmatchedTrafficIsByteExact(t *testing.T) {
	b := toAny(nil)
	b.To = policy.Target{Kind: policy.TargetHost, Host: "other.example"}
	for name, sent := range map[string]string{
		"another host": "gEt /x?y HTTP/1.1\r\nHost: me.example\r\nConnection: X\r\nX: 1\r\nKeep-Alive: 3\r\n\r\nbody",
		"malformed":    "GET /x HTTP/1.1\r\nBad Header: 1\r\nHost: a\r\n\r\n",
		"tls":          "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
		"other":        "HELLO there\r\nmore",
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			w := build(t, serve(t, func(_ int, p *peer) {
				all, _ := io.ReadAll(p.r)
				got <- string(all)
				p.send("bye")
			}), b)
			c := w.dial()
			c.send(sent)
			_ = c.CloseWrite()
			if g := <-got; g != sent {
				t.Errorf("got %q, want %q", g, sent)
			}
			if all, _ := io.ReadAll(c.r); string(all) != "bye" {
				t.Errorf("client got %q", all)
			}
		})
	}
}

func TestShutdownFinishesCallsAndClosesIdleConnections(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if q.URL.Path == "/slow" {
				close(arrived)
				<-release
			}
			p.ok("done")
		}
	}), toAny(nil))
	idle, slow := w.dial(), w.dial()
	idle.get("/")
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- w.server.Shutdown(ctx) }()
	idle.expectEnd()
	close(release)
	if res, body := slow.response("GET"); body != "done" || !res.Close {
		t.Fatalf("got %q, close %v", body, res.Close)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}
