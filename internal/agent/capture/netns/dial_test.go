package netns_test

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

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

const mark = 0xfa1e

func sockopt(t *testing.T, c syscall.Conn, level, name int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	if cerr := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return value
}

func localAddr(t *testing.T, c syscall.Conn) (addr netip.Addr) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var own unix.Sockaddr
	if cerr := raw.Control(func(fd uintptr) { own, err = unix.Getsockname(int(fd)) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	switch own := own.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(own.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(own.Addr)
	}
	return netip.Addr{}
}

func TestDialFromInside(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	for _, at := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		world.Serve(t, netip.AddrPortFrom(at, 80), "hello")
	}
	for to, from := range map[string]netip.Addr{
		"10.99.0.1:80": netnstest.Pod4, "[fd99::1]:80": netnstest.Pod6, "[::ffff:10.99.0.1]:80": netnstest.Pod4,
	} {
		c, err := pod.Namespace.Dial(t.Context(), netip.MustParseAddrPort(to), mark)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", to, b, err)
		}
		if got := localAddr(t, c); got != from {
			t.Errorf("%s: called from %s, want %s", to, got, from)
		}
		if got := sockopt(t, c, unix.SOL_SOCKET, unix.SO_MARK); got != mark {
			t.Errorf("%s: mark %#x, want %#x", to, got, mark)
		}
		if sockopt(t, c, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
			t.Errorf("%s: small writes are delayed", to)
		}
		_ = c.Close()
	}
}

func TestDialFails(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	blackHole(t, world)
	now := func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }
	for name, tc := range map[string]struct {
		to   string
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		"refused":           {"10.99.0.1:81", now, syscall.ECONNREFUSED},
		"refused over IPv6": {"[fd99::1]:81", now, syscall.ECONNREFUSED},
		"unreachable":       {"[2001:db8::1]:80", now, syscall.ENETUNREACH},
		"itself":            {"127.0.0.1:40000", now, syscall.ECONNREFUSED},
		"no answer, deadline": {"10.98.0.1:9", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 50*time.Millisecond)
		}, context.DeadlineExceeded},
		"no answer, cancelled": {"10.98.0.1:9", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		"cancelled before": {"10.98.0.1:9", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := tc.ctx()
			defer cancel()
			c, err := pod.Namespace.Dial(ctx, netip.MustParseAddrPort(tc.to), mark)
			if err == nil {
				_ = c.Close()
			}
			if _, ok := errors.AsType[*net.OpError](err); !errors.Is(err, tc.want) || !ok {
				t.Errorf("%v, want a net.OpError with %v", err, tc.want)
			}
		})
	}
}

// blackHole listens with a queue that is full, so that further requests are not answered.
func blackHole(t *testing.T, n *netnstest.Net) {
	t.Helper()
	var fd int
	err := n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 9}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if c, err := n.Dial(ctx, netip.MustParseAddrPort("127.0.0.1:9"), 0); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

func TestDialAfterClose(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	_ = n.Close()
	if _, err := n.Namespace.Dial(t.Context(), netip.MustParseAddrPort("127.0.0.1:80"), mark); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v, want os.ErrClosed", err)
	}
}

func TestSecondListenerGetsTheConnections(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	first, err := n.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	at := first.Addr().(*net.TCPAddr).AddrPort()
	reached := func(l *net.TCPListener) {
		t.Helper()
		for range 20 {
			c, err := n.Dial(t.Context(), at, 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = l.SetDeadline(time.Now().Add(30 * time.Second))
			a, err := l.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			_ = a.Close()
			_ = c.Close()
		}
	}
	reached(first)
	for range 4 {
		second, err := n.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		reached(second)
		_ = first.Close()
		reached(second)
		first = second
	}
	_ = first.Close()
}

// reset has a connection end with a reset when it is closed.
func reset(c *os.File) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

func BenchmarkDial(b *testing.B) {
	netnstest.Privileged(b)
	pod, world := netnstest.Pair(b, netnstest.Host(b))
	to := world.Serve(b, netip.MustParseAddrPort("0.0.0.0:0"), "")
	to = netip.AddrPortFrom(netnstest.World4, to.Port())
	run := func(dial func() (*os.File, error)) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := dial()
				if err != nil {
					b.Fatal(err)
				}
				reset(c) // no ports in TIME_WAIT
				_ = c.Close()
			}
		}
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.Run("inside", run(func() (*os.File, error) { return pod.Namespace.Dial(b.Context(), to, mark) }))
	b.Run("inside with deadline", run(func() (*os.File, error) { return pod.Namespace.Dial(ctx, to, mark) }))
	b.Run("Do alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := pod.Do(func() error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
