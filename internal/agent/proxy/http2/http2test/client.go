package http2test

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"
)

// Dial connects to addr as a client: the preface and SETTINGS are sent. The connection ends with the test.
func Dial(t testing.TB, addr netip.AddrPort, o Options) *Conn {
	t.Helper()
	nc, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	return Speak(t, nc, o)
}

// Speak is Dial on a connection that there is already. Nothing but o.Settings is sent before the preface.
func Speak(t testing.TB, nc net.Conn, o Options) *Conn {
	t.Helper()
	c := newConn(nc, false, o)
	if err := c.Raw([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.Settings(o.Settings...); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c
}

// Open returns a new stream, of which nothing was sent yet.
func (c *Conn) Open() *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newStream(c.next)
	c.next += 2
	return s
}

// Get sends a request without content.
func (c *Conn) Get(authority, path string, more Fields) (*Stream, error) {
	return c.Request(true, append(Head("GET", authority, path), more...))
}

// Post sends a request with data, all that the answer leaves time for: one that comes early may end the stream or the connection.
func (c *Conn) Post(authority, path string, data []byte, more Fields) (*Stream, error) {
	s, err := c.Request(false, append(Head("POST", authority, path), more...))
	if err != nil {
		return s, err
	}
	_ = s.Data(data, true)
	return s, nil
}

// Request opens a stream and sends a header block on it. Identifiers go up on the wire as they must.
func (c *Conn) Request(end bool, f Fields) (*Stream, error) { return c.RequestIn(Shape{}, end, f) }

// RequestIn is Request in frames of a shape.
func (c *Conn) RequestIn(shape Shape, end bool, f Fields) (*Stream, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	s := c.Open()
	return s, c.writeBlock(s.ID, shape, end, c.enc.block(f))
}

// Head are the pseudo-headers of a request.
func Head(method, authority, path string) Fields {
	return F(":method", method, ":scheme", "http", ":authority", authority, ":path", path)
}
