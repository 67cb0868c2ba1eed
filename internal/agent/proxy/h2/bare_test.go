package h2

import (
	"net"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// bare is a session that serves no connection.
func (d *Driver) bare(t *testing.T) *Session {
	t.Helper()
	s := d.New(&drive.Client{Origin: route.Origin{Pod: "pod"}, Conn: connected(t)}, nil)
	s.account = d.buffers.of("pod")
	s.out.account = s.account
	s.now = time.Now()
	return s
}

// bareServer is a connection to a server on which nothing is read or written.
func (d *Driver) bareServer(t *testing.T) *serverConn {
	t.Helper()
	u := &serverConn{
		driver: d, conn: &upstream.Conn{Conn: connected(t)}, account: d.buffers.of("pod"), nextID: 1, peer: http2.InitialSettings(),
		attempts: map[uint32]holder{},
	}
	u.out.init(u.conn.Conn, &u.mu, func() {})
	u.out.account = u.account
	u.enc.Init(maxTable)
	u.conn.Attachment = u
	return u
}

// connected is one end of a connection.
func connected(t *testing.T) *transport.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close(); near.Close() })
	c, err := transport.New(near.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
