package transport

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func newPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return !p.running })
		p.epoll.Close()
	})
	return p
}

// waited has p wait for c and returns a channel that is closed when it is ready.
func waited(t testing.TB, p *Poller, c *Conn) <-chan struct{} {
	t.Helper()
	ready := make(chan struct{})
	if err := p.Wait(c, func() { close(ready) }); err != nil {
		t.Fatal(err)
	}
	return ready
}

func expectReady(t *testing.T, ready <-chan struct{}) {
	t.Helper()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("it is not ready")
	}
}

// A connection becomes ready once per Wait, whether the bytes come before or after it, and when its peer ends.
func TestPollerSeesBytesAndEnds(t *testing.T) {
	p := newPoller(t)
	c, peer := pair(t)
	for range 100 {
		ready := waited(t, p, c)
		_, _ = peer.Write([]byte("x"))
		expectReady(t, ready)
		expectReady(t, waited(t, p, c)) // it was not read
		if n, err := c.TryRead(make([]byte, 2)); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	ready := waited(t, p, c)
	_ = peer.CloseWrite()
	expectReady(t, ready)
	if _, err := c.TryRead(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestPollerWaitsForMany(t *testing.T) {
	p := newPoller(t)
	var peers []*net.TCPConn
	var ready []<-chan struct{}
	for range 200 { // more than it fetches at once
		c, peer := pair(t)
		peers, ready = append(peers, peer), append(ready, waited(t, p, c))
	}
	for _, peer := range peers {
		_, _ = peer.Write([]byte("x"))
	}
	for _, r := range ready {
		expectReady(t, r)
	}
}

// What is closed is forgotten by whoever closes it; another connection with the same descriptor is another one.
func TestPollerForgets(t *testing.T) {
	p := newPoller(t)
	for range 100 {
		c, _ := pair(t)
		if err := p.Wait(c, func() { t.Error("ready") }); err != nil {
			t.Fatal(err)
		}
		c.Close()
		p.Forget(c)
		next, peer := pair(t)
		ready := waited(t, p, next)
		p.Forget(c) // has no effect on it
		_, _ = peer.Write([]byte("x"))
		expectReady(t, ready)
		next.Close()
	}
	c, _ := pair(t)
	c.Close()
	if err := p.Wait(c, func() { t.Error("ready") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

// What a layer has opened already is not waited for.
func TestPollerAsksTheLayer(t *testing.T) {
	p := newPoller(t)
	c, l, peer := secured(t)
	say(t, peer, seal(0, []byte("ab")))
	eventually(t, func() bool { return c.Peek() == Readable && len(l.opened) == 2 })
	expectReady(t, waited(t, p, c))
}
