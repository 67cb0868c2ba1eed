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
	defer l.Close()
	far, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close(); accepted.Close() })
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
