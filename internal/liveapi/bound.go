package liveapi

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Bounds of connections that come from elsewhere than the own pod: whoever reaches the port may open them, and each takes a descriptor and some 20 KiB of what
// the agent serves pods with. Kubelets and Prometheus have one or two.
const (
	maxConnections = 512
	maxOfOne       = 32 // from one address
)

// bounded accepts connections, and closes those beyond the bounds at once. Beyond that of all, one from an address that has fewer takes the place of one of an
// address that has most: so that nobody keeps kubelets, whose probes the agent's life depends on, from being answered.
type bounded struct {
	net.Listener

	mu sync.Mutex
	// guarded by mu
	all int
	of  map[netip.Addr][]*boundedConn // the oldest first; none is empty
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, of: map[netip.Addr][]*boundedConn{}}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		bc := &boundedConn{Conn: c, among: b, from: at.Addr().Unmap()}
		switch {
		case err == nil && ownPod(bc.from):
			return c, nil
		case b.enter(bc):
			return bc, nil
		}
		_ = c.Close()
	}
}

func (b *bounded) enter(c *boundedConn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	has := len(b.of[c.from])
	if has >= maxOfOne {
		return false
	}
	if b.all >= maxConnections {
		oldest := b.oldestOfMost()
		if len(b.of[oldest.from]) <= has+1 {
			return false
		}
		b.remove(oldest)
		_ = oldest.Conn.Close()
	}
	b.all++
	b.of[c.from] = append(b.of[c.from], c)
	return true
}

// oldestOfMost returns the oldest connection of an address that has most.
func (b *bounded) oldestOfMost() *boundedConn {
	var most []*boundedConn
	for _, of := range b.of {
		if len(of) > len(most) {
			most = of
		}
	}
	return most[0]
}

// remove makes room where a connection is counted, once.
func (b *bounded) remove(c *boundedConn) {
	i := slices.Index(b.of[c.from], c)
	if i < 0 {
		return
	}
	b.all--
	if b.of[c.from] = slices.Delete(b.of[c.from], i, i+1); len(b.of[c.from]) == 0 {
		delete(b.of, c.from)
	}
}

// boundedConn is a connection that makes room when it is closed.
type boundedConn struct {
	net.Conn
	among *bounded
	from  netip.Addr
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.among.mu.Lock()
	c.among.remove(c)
	c.among.mu.Unlock()
	return c.Conn.Close()
}
