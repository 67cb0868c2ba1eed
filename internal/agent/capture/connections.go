package capture

import (
	"net"
	"sync"
)

// connections are the captured connections of one door that are being served.
type connections struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	open   map[*net.TCPConn]struct{}
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
		c.open = make(map[*net.TCPConn]struct{})
	}
	c.open[conn] = struct{}{}
	c.wg.Add(1)
	return true
}

func (c *connections) end(conn *net.TCPConn) {
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	c.wg.Done()
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// sever ends a connection that could not be carried to its end with a reset: a regular end would tell the pod that it has
// received everything.
func sever(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails only when it is closed already
	_ = conn.Close()
}

// abort ends all connections and waits for their handlers.
func (c *connections) abort() {
	c.mu.Lock()
	c.closed = true
	all := make([]*net.TCPConn, 0, len(c.open))
	for conn := range c.open {
		all = append(all, conn)
	}
	c.mu.Unlock()
	for _, conn := range all {
		sever(conn)
	}
	c.wg.Wait()
}
