package capture

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// connections are the captured connections of one door that are being served.
type connections struct {
	// immutable once the door runs
	idle func() // called, without a lock, whenever the last connection has ended

	wg sync.WaitGroup

	mu     sync.Mutex
	open   map[*net.TCPConn]netip.AddrPort // where each was on its way to, if that is known
	closed bool
}

// begin remembers conn, or says false when no more are wanted.
func (c *connections) begin(conn *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.open == nil {
		c.open = make(map[*net.TCPConn]netip.AddrPort)
	}
	c.open[conn] = netip.AddrPort{}
	c.wg.Add(1)
	return true
}

// redirected remembers where conn was on its way to.
func (c *connections) redirected(conn *net.TCPConn, original netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = original
}

// mappings are up to so many redirected connections, any of them.
func (c *connections) mappings(most int) []Mapping {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Mapping
	for conn, original := range c.open {
		if len(list) == most {
			break
		}
		if original.IsValid() {
			peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
			list = append(list, Mapping{From: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), To: original})
		}
	}
	return list
}

func (c *connections) end(conn *net.TCPConn) {
	c.mu.Lock()
	delete(c.open, conn)
	last := len(c.open) == 0
	c.mu.Unlock()
	if last && c.idle != nil {
		c.idle()
	}
	c.wg.Done()
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// resetAndClose ends a connection that could not be carried to its end with a reset: a regular end would tell the pod that it has
// received everything.
func resetAndClose(conn *net.TCPConn) {
	resetOnClose(conn)
	_ = conn.Close()
}

// resetOnClose has a connection end with a reset, whoever closes it.
func resetOnClose(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails only when it is closed already
}

// abort ends all connections and waits for their handlers. It says how many there were. Closing waits for whoever is using the descriptor,
// so all are interrupted before the first is closed, and none waits for another.
func (c *connections) abort() int {
	c.mu.Lock()
	c.closed = true
	all := make([]*net.TCPConn, 0, len(c.open))
	for conn := range c.open {
		all = append(all, conn)
	}
	c.mu.Unlock()
	for _, conn := range all {
		resetOnClose(conn) // a handler that is interrupted may be the first to close
		_ = conn.SetDeadline(past)
	}
	for _, conn := range all {
		c.wg.Go(func() { resetAndClose(conn) })
	}
	c.wg.Wait()
	return len(all)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)
