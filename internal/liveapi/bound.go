package liveapi

import (
	"net"
	"net/netip"
	"sync"
)

// Bounds of connections that come from elsewhere than the own pod: whoever reaches the port may open them, and each takes a descriptor and some 20 KiB of what
// the agent serves pods with. Kubelets and Prometheus have one or two.
const (
	maxConnections = 512
	maxOfOne       = 32 // from one address
)

// bounded accepts connections, and closes those beyond the bounds at once.
type bounded struct {
	net.Listener

	mu sync.Mutex
	// guarded by mu
	all int
	of  map[netip.Addr]int
}

func newBounded(l net.Listener) *bounded { return &bounded{Listener: l, of: map[netip.Addr]int{}} }

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		from := at.Addr().Unmap()
		switch {
		case err == nil && ownPod(from):
			return c, nil
		case b.enter(from):
			return &boundedConn{c, sync.OnceFunc(func() { b.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

func (b *bounded) enter(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= maxConnections || b.of[from] >= maxOfOne {
		return false
	}
	b.all++
	b.of[from]++
	return true
}

func (b *bounded) leave(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[from]--; b.of[from] == 0 {
		delete(b.of, from)
	}
}

// boundedConn is a connection that makes room when it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
