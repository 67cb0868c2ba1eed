package h2

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// bare is a session that serves no connection.
func (d *Driver) bare(t *testing.T) *Session {
	t.Helper()
	s := d.New(&drive.Client{Origin: route.Origin{Pod: "pod"}, Conn: transporttest.Connected(t), Share: &drive.PodShare{}}, nil)
	s.account = d.buffers.of("pod")
	s.out.account = s.account
	s.now = time.Now()
	return s
}

// bareServer is a connection to a server on which nothing is read or written.
func (d *Driver) bareServer(t *testing.T) *serverConn {
	t.Helper()
	u := &serverConn{
		driver: d, conn: &upstream.Conn{Conn: transporttest.Connected(t)}, account: d.buffers.of("pod"), nextID: 1, peer: http2.InitialSettings(),
		attempts: map[uint32]holder{},
	}
	u.out.init(u.conn.Conn, &u.mu, func() {})
	u.out.account = u.account
	u.enc.Init(maxTable)
	u.conn.Attachment = u
	return u
}
