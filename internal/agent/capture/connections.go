package capture

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// connections are the captured connections of one pod that are being served.
type connections struct {
	// immutable once the first has begun
	idle func() // called, without a lock, whenever the last connection has ended

	wg sync.WaitGroup

	mu     sync.Mutex
	open   map[*os.File]netip.AddrPort // where each was on its way to, if that is known
	closed bool
}

// begin adds conn to the open connections, and returns false when no more are accepted.
func (c *connections) begin(conn *os.File) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.open == nil {
		c.open = make(map[*os.File]netip.AddrPort)
	}
	c.open[conn] = netip.AddrPort{}
	c.wg.Add(1)
	return true
}

// redirected stores the original destination of conn.
func (c *connections) redirected(conn *os.File, original netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = original
}

// some returns up to so many redirected connections, any of them.
func (c *connections) some(most int) []mechanism.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []mechanism.Connection
	for conn, original := range c.open {
		if len(list) == most {
			break
		}
		if from := transport.PeerAddr(conn); from.IsValid() && original.IsValid() {
			list = append(list, mechanism.Connection{From: from, To: original})
		}
	}
	return list
}

// sample is one redirected connection, any of them; the zero value if there is none.
func (c *connections) sample() mechanism.Connection {
	if some := c.some(1); len(some) > 0 {
		return some[0]
	}
	return mechanism.Connection{}
}

// cut resets so many of the connections, any of them, and returns how many. Their handlers find out and end.
func (c *connections) cut(most int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for conn := range c.open {
		if n == most {
			break
		}
		n++
		resetOnClose(conn)
		_ = conn.SetDeadline(past)
		c.wg.Go(func() { resetAndClose(conn) }) // waits for whoever is using the descriptor
	}
	return n
}

func (c *connections) end(conn *os.File) {
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

// resetAndClose ends a connection that could not be carried to its end with a reset: a regular end would say to the pod that it has
// received everything.
func resetAndClose(conn *os.File) {
	resetOnClose(conn)
	_ = conn.Close()
}

// resetOnClose makes the close of a connection a reset, also one from another goroutine.
func resetOnClose(conn *os.File) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // closed already, as below
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

// abort ends all connections and waits for their handlers. It says how many there were. Closing waits for whoever is using the descriptor,
// so all are interrupted before the first is closed, and none waits for another.
func (c *connections) abort() int {
	c.mu.Lock()
	c.closed = true
	all := make([]*os.File, 0, len(c.open))
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
