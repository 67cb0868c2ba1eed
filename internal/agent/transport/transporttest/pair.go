// Package transporttest makes connections for tests of what uses them. It must not judge what they carry.
package transporttest

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Pair returns both ends of a connection, which are closed when the test ends.
func Pair(t testing.TB) (near *transport.Conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing follows from it
	far, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = far.Close(), accepted.Close() }) // the test may have closed them
	near, err = transport.New(accepted)
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// Connected is one end of a connection on whose other end nobody does anything.
func Connected(t testing.TB) *transport.Conn {
	t.Helper()
	near, _ := Pair(t)
	return near
}

// Fill has a connection take nothing more until the other end reads. What the kernel has under way makes room when it arrives: it is waited for.
func Fill(t testing.TB, c *transport.Conn) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for ; ; <-again.C {
		arrived := nothingUnderWay(t, c)
		n, err := c.TryWrite(make([]byte, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if arrived && n == 0 {
			return
		}
	}
}

// nothingUnderWay reports whether all that was sent has arrived; what waits for room at the other end was not sent.
func nothingUnderWay(t testing.TB, c *transport.Conn) (arrived bool) {
	t.Helper()
	look := func(fd uintptr) bool {
		i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
		}
		arrived = err != nil || i.Unacked == 0
		return true
	}
	if err := c.ServeWrites(look, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return arrived
}
