// Package transporttest makes connections for tests of what uses them. It must not judge what they carry.
package transporttest

import (
	"net"
	"testing"

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
