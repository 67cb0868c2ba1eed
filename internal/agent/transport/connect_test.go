package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

type netDialer struct{}

func (netDialer) Dial(ctx context.Context, to netip.AddrPort) (Socket, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// acceptor listens and hands over what it accepts.
func acceptor(t *testing.T) (at netip.AddrPort, accepted <-chan *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan *net.TCPConn, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			conns <- c
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort(), conns
}

func TestConnectWithoutAHandshake(t *testing.T) {
	at, accepted := acceptor(t)
	k := Connector{Dialer: netDialer{}, KeepAlive: KeepAlive{Idle: time.Second, Interval: time.Second, Probes: 2}}
	c, err := k.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-accepted
	if _, within := c.PeerVanished(time.Now()); within != 3*time.Second || !c.Plain() || c.RemoteAddr() != at {
		t.Errorf("keep-alive %v, plain %v, to %v", within, c.Plain(), c.RemoteAddr())
	}
}

func TestConnectSaysWhichStageFailed(t *testing.T) {
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	refused := errors.New("certificate of another")
	for name, tc := range map[string]struct {
		handshake func(c *Conn, peer *net.TCPConn) error // nil: the dial fails
		want      error
	}{
		"dial":      {nil, syscall.ECONNREFUSED},
		"handshake": {func(*Conn, *net.TCPConn) error { return refused }, refused},
		"peer ends": {func(c *Conn, peer *net.TCPConn) error {
			peer.Close()
			_, err := c.Read(make([]byte, 1), time.Now(), time.Time{})
			return err
		}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			at, accepted := acceptor(t)
			if tc.handshake == nil {
				at = nobody
			}
			k := Connector{Dialer: netDialer{}, Handshake: func(_ context.Context, c *Conn) error { return tc.handshake(c, <-accepted) }}
			_, err := k.Connect(t.Context(), at)
			_, shaking := errors.AsType[*HandshakeError](err)
			if !errors.Is(err, tc.want) || shaking != (tc.handshake != nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A peer that accepts and then says nothing, or takes nothing, holds up nobody for longer than the context allows.
func TestTheContextEndsAHandshake(t *testing.T) {
	at, accepted := acceptor(t)
	for name, wait := range map[string]func(c *Conn) error{
		"reading": func(c *Conn) error { _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); return err },
		"writing": func(c *Conn) error { _, err := c.Write(make([]byte, 64<<20)); return err },
		"at its end": func(c *Conn) error {
			eventually(t, c.Interrupted)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			k := Connector{Dialer: netDialer{}, Handshake: func(_ context.Context, c *Conn) error { return wait(c) }}
			_, err := k.Connect(ctx, at)
			<-accepted
			if _, shaking := errors.AsType[*HandshakeError](err); !errors.Is(err, context.DeadlineExceeded) || !shaking {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What is between is spoken to before the handshake, within the time for reaching the peer, and what it does wrong is none of the handshake's.
func TestConnectThroughSomethingElse(t *testing.T) {
	refused := errors.New("not through here")
	silent := func(c *Conn) error { _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); return err }
	for name, tc := range map[string]struct {
		through func(c *Conn) error
		want    error
	}{
		"reaches": {func(*Conn) error { return nil }, nil},
		"refuses": {func(*Conn) error { return refused }, refused},
		"silent":  {silent, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			at, accepted := acceptor(t)
			var stages []string
			k := Connector{
				Dialer: netDialer{}, DialTimeout: 50 * time.Millisecond, HandshakeTimeout: patience,
				Through:   func(_ context.Context, c *Conn) error { stages = append(stages, "through"); return tc.through(c) },
				Handshake: func(context.Context, *Conn) error { stages = append(stages, "handshake"); return nil },
			}
			if tc.want != context.DeadlineExceeded {
				k.DialTimeout = patience
			}
			c, err := k.Connect(t.Context(), at)
			<-accepted
			if _, shaking := errors.AsType[*HandshakeError](err); !errors.Is(err, tc.want) || shaking {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			want := 1
			if err == nil {
				want = 2
				defer c.Close()
			}
			if len(stages) != want || stages[0] != "through" {
				t.Errorf("stages %q", stages)
			}
		})
	}
}

// What a handshake has put on the connection is what its user reads and writes through, with no deadline left over.
func TestConnectWithAHandshake(t *testing.T) {
	at, accepted := acceptor(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k := Connector{Dialer: netDialer{}, Handshake: func(_ context.Context, c *Conn) error {
		l := newFakeLayer(c)
		l.info.ALPN = "h2"
		c.Secure(l)
		return nil
	}}
	c, err := k.Connect(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	peer := <-accepted
	say(t, peer, seal(0, []byte("x")))
	now, until := soon()
	if n, err := c.Read(make([]byte, 1), now, until); n != 1 || err != nil || c.Info().ALPN != "h2" {
		t.Errorf("got %d, %v, %+v", n, err, c.Info())
	}
	if _, err := c.Write([]byte("x")); errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
}
