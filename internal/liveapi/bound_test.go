package liveapi

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
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
	for _, own := range []string{"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:2"} {
		l.come(own)
		accept()
	}
	close(l)
	if _, err := b.Accept(); err == nil {
		t.Error("a listener that is closed accepts")
	}
}

// Where all have what there is, a newcomer takes the place of one of an address that has more, the oldest first, and none where nobody has.
func TestAFewAddressesTakeNoRoomOfOthers(t *testing.T) {
	l := make(arriving, 2*maxConnections)
	b := newBounded(l)
	var others []net.Conn
	for i := range maxConnections {
		others = append(others, l.come(fmt.Sprintf("10.0.0.%d:%d", i%(maxConnections/maxOfOne), 1000+i)))
		if _, err := b.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	l.come("10.9.9.9:1")
	if c, err := b.Accept(); err != nil || c.RemoteAddr().String() != "10.9.9.9:1" {
		t.Fatalf("accepted is %v, %v", c, err)
	}
	ended := 0
	for i, c := range others {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err == io.EOF {
			if ended++; i >= maxConnections/maxOfOne {
				t.Errorf("connection %d made room, which was no oldest one", i)
			}
		}
	}
	if ended != 1 || b.all != maxConnections {
		t.Errorf("%d made room; there are %d", ended, b.all)
	}
	alone := newBounded(l)
	for i := range maxConnections {
		l.come(fmt.Sprintf("10.1.%d.%d:1", i/256, i%256))
		if _, err := alone.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	closed := l.come("10.9.9.9:2")
	close(l)
	if _, err := alone.Accept(); err == nil {
		t.Error("one beyond all is accepted, though nobody has more than one")
	}
	if _, err := closed.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one beyond all reads %v", err)
	}
}
