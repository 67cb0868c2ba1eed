package liveapi

import (
	"net"
	"net/netip"
)

// Bounds of connections that come from elsewhere than the own pod: whoever reaches the port may open them, and each takes a descriptor and some 20 KiB of what
// the agent serves pods with. Kubelets and Prometheus have one or two.
const (
	maxConnections      = 512
	maxConnectionsOfOne = 32 // from one address
)

// bounded accepts connections, and closes others where they are too many: so that nobody keeps kubelets, whose probes the agent's life depends on, from being
// answered.
type bounded struct {
	net.Listener
	room *room
}

func newBounded(l net.Listener) *bounded {
	return &bounded{l, newRoom(maxConnections, maxConnectionsOfOne)}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := addressOf(c.RemoteAddr().String())
	if ownPod(from) {
		return c, nil
	}
	// A socket's Close does not wait: nothing lingers.
	return &boundedConn{Conn: c, among: b.room, has: b.room.enter(from, func() { _ = c.Close() })}, nil
}

// addressOf returns the address of a client, which is the zero one where it is of no known form.
func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// boundedConn is a connection that makes room when it is closed.
type boundedConn struct {
	net.Conn
	among *room
	has   *place
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.among.leave(c.has)
	return c.Conn.Close()
}
