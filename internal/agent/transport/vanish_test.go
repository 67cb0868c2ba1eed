package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// vanished looks at the connection once.
func vanished(c *Conn) bool {
	gone, _ := c.PeerVanished(time.Now())
	return gone
}

// full writes until the kernel takes nothing more.
func full(t *testing.T, c *Conn) {
	t.Helper()
	for p := make([]byte, 64<<10); ; {
		n, err := c.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// A server that takes nothing for a long time has done nothing wrong: it answers every probe.
func TestRule00_APeerThatTakesNothingHasNotVanished(t *testing.T) {
	c, _ := pair(t)
	if err := c.SetKeepAlive(KeepAlive{time.Second, time.Second, 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.GetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || n != 0 {
		t.Fatalf("the kernel would break it after %d ms, %v", n, err)
	}
	full(t, c)
	eventually(t, func() bool { return info(t, c).Backoff >= 2 }) // the window was probed again and again
	for range 3 {
		if vanished(c) {
			t.Fatal("vanished")
		}
	}
	if _, within := c.PeerVanished(time.Now()); within != 2*time.Second {
		t.Errorf("within %v", within)
	}
}

func info(t *testing.T, c *Conn) *unix.TCPInfo {
	t.Helper()
	i, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestNothingVanishesWithoutKeepAlive(t *testing.T) {
	c, _ := pair(t)
	if err := c.SetKeepAlive(KeepAlive{0, time.Second, 1}); err != nil {
		t.Fatal(err)
	}
	if gone, within := c.PeerVanished(time.Now()); gone || within >= 0 {
		t.Errorf("vanished %v, within %v", gone, within)
	}
}

// unplugged returns a connection whose peer's host loses its link as soon as something is to be sent to it.
func unplugged(t *testing.T) *Conn {
	t.Helper()
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	done := make(chan struct{})
	to := world.Handle(t, netip.AddrPortFrom(netnstest.World4, 0), func(*net.TCPConn) { <-done })
	t.Cleanup(func() { close(done) })
	file, err := pod.Dial(t.Context(), to, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	c, err := New(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetKeepAlive(KeepAlive{time.Second, time.Second, 1}); err != nil {
		t.Fatal(err)
	}
	world.Vanish(t)
	return c
}

// What is sent to a host that has vanished is not waited for until the kernel gives up, which takes a quarter of an hour.
func TestAVanishedPeerIsFound(t *testing.T) {
	c := unplugged(t)
	if _, err := c.TryWrite([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return info(t, c).Retransmits > 0 })
	if vanished(c) {
		t.Error("vanished from the first look")
	}
	eventually(t, func() bool { return vanished(c) })
}

// Reads whose time is up now and then end as the kernel would end them.
func TestReadsFromAVanishedPeerEnd(t *testing.T) {
	c := unplugged(t)
	if _, err := c.TryWrite([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; {
		now := time.Now()
		_, err := c.Read(make([]byte, 1), now, now.Add(100*time.Millisecond))
		if errors.Is(err, syscall.ETIMEDOUT) {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || now.After(end) {
			t.Fatalf("got %v", err)
		}
	}
}

// So do writes, if who waits for the peer to take something asks.
func TestWritesToAVanishedPeerEnd(t *testing.T) {
	c := unplugged(t)
	full(t, c)
	for end := time.Now().Add(patience); ; {
		_, err := writeAll(c, []byte("x"), time.Now().Add(100*time.Millisecond))
		now := time.Now()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.TimeoutError(now)
		}
		if errors.Is(err, syscall.ETIMEDOUT) {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || now.After(end) {
			t.Fatalf("got %v", err)
		}
	}
}
