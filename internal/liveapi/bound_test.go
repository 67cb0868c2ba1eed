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

func (l arriving) accepted(t *testing.T, b *bounded, from string) (accepted, there net.Conn) {
	t.Helper()
	there = l.come(from)
	accepted, err := b.Accept()
	if err != nil || accepted.RemoteAddr().String() != net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)).String() {
		t.Fatalf("accepted is %v, not %s: %v", accepted, from, err)
	}
	return accepted, there
}

// ended reports whether the other side has closed a connection.
func ended(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return err == io.EOF
}

func TestConnectionsFromElsewhereAreBounded(t *testing.T) {
	l := make(arriving, 1)
	b := newBounded(l)
	var open, others []net.Conn
	for i := range maxConnectionsOfOne {
		here, there := l.accepted(t, b, fmt.Sprintf("10.0.0.1:%d", 1000+i))
		open, others = append(open, here), append(others, there)
	}
	// One more of the same takes the place of its oldest: who keeps connections leaves none for nobody, not even where addresses are translated to one.
	l.accepted(t, b, "[::ffff:10.0.0.1]:9")
	if !ended(others[0]) || ended(others[1]) || b.room.in != maxConnectionsOfOne {
		t.Errorf("the oldest has ended: %v, the next: %v; there are %d", ended(others[0]), ended(others[1]), b.room.in)
	}
	// One that ends makes room, once, and one that has made room makes no more.
	for range 2 {
		_ = open[0].Close()
		_ = open[1].Close()
	}
	l.accepted(t, b, "10.0.0.1:2000")
	if ended(others[2]) || b.room.in != maxConnectionsOfOne {
		t.Errorf("the oldest has ended: %v, though there was room; there are %d", ended(others[2]), b.room.in)
	}
	for range 2 * maxConnections {
		for _, own := range []string{"127.0.0.1:1", "[::1]:1"} {
			l.accepted(t, b, own)
		}
	}
	if b.room.in != maxConnectionsOfOne {
		t.Errorf("there are %d, with those of the own pod", b.room.in)
	}
	close(l)
	if _, err := b.Accept(); err == nil {
		t.Error("a listener that is closed accepts")
	}
}

// Where all have what there is, a newcomer takes the place of the oldest of those that have most.
func TestAFewAddressesTakeNoRoomOfOthers(t *testing.T) {
	const addresses = maxConnections / maxConnectionsOfOne
	l := make(arriving, 1)
	b := newBounded(l)
	_, quiet := l.accepted(t, b, "10.9.9.8:1")
	var others []net.Conn
	for i := range maxConnections - 1 {
		_, there := l.accepted(t, b, fmt.Sprintf("10.0.0.%d:%d", i%addresses, 1000+i))
		others = append(others, there)
	}
	l.accepted(t, b, "10.9.9.9:1")
	for i, c := range others {
		if ended(c) != (i == 0) {
			t.Errorf("connection %d has ended: %v", i, ended(c))
		}
	}
	if ended(quiet) || b.room.in != maxConnections {
		t.Errorf("that of an address with one has ended: %v; there are %d", ended(quiet), b.room.in)
	}
}

// As many addresses as there is room keep nobody out either.
func TestWhereNobodyHasMoreThanOneTheOldestMakesRoom(t *testing.T) {
	l := make(arriving, 1)
	b := newBounded(l)
	var others []net.Conn
	for i := range maxConnections {
		_, there := l.accepted(t, b, fmt.Sprintf("10.1.%d.%d:1", i/256, i%256))
		others = append(others, there)
	}
	l.accepted(t, b, "10.9.9.9:2")
	for i, c := range others {
		if ended(c) != (i == 0) {
			t.Errorf("connection %d has ended: %v", i, ended(c))
		}
	}
}
