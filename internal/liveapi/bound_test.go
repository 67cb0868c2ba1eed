package liveapi

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
)

// arriving is a listener to which connections come from wherever a test says.
type arriving chan net.Conn

func (l arriving) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l arriving) Close() error   { return nil }
func (l arriving) Addr() net.Addr { return nil }

// arrived is a connection that has come from an address.
type arrived struct {
	net.Conn
	from netip.AddrPort
}

func (a arrived) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(a.from) }

// come has a connection come from an address, and returns the other end of it.
func (l arriving) come(from string) net.Conn {
	here, there := net.Pipe()
	l <- arrived{here, netip.MustParseAddrPort(from)}
	return there
}

func TestConnectionsFromElsewhereAreBounded(t *testing.T) {
	l := make(arriving, 2*maxConnections)
	b := newBounded(l)
	accept := func() net.Conn {
		t.Helper()
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var open []net.Conn
	for i := range maxOfOne {
		l.come(fmt.Sprintf("10.0.0.1:%d", 1000+i))
		open = append(open, accept())
	}
	// One more of the same is closed, and keeps nobody from being accepted who comes after it.
	closed := l.come("[::ffff:10.0.0.1]:9")
	l.come("10.0.0.2:1")
	if c := accept(); c.RemoteAddr().String() != "10.0.0.2:1" {
		t.Errorf("accepted is %s", c.RemoteAddr())
	}
	if _, err := closed.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one too many reads %v", err)
	}
	// One that ends makes room, once.
	for range 2 {
		_ = open[0].Close()
	}
	l.come("10.0.0.1:2000")
	accept()
	for i := maxOfOne + 1; i < maxConnections; i++ {
		l.come(fmt.Sprintf("10.1.%d.%d:1", i/256, i%256))
		accept()
	}
	closed = l.come("10.2.0.1:1")
	for _, own := range []string{"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:2"} {
		l.come(own)
		if c := accept(); c.RemoteAddr().String() == "10.2.0.1:1" {
			t.Error("one beyond all is accepted")
		}
	}
	if _, err := closed.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one beyond all reads %v", err)
	}
	close(l)
	if _, err := b.Accept(); err == nil {
		t.Error("a listener that is closed accepts")
	}
}
