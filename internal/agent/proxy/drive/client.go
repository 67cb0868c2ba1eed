package drive

import (
	"net/netip"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// ClientFinder is what a pod's dialer may also be: one that can query the client's end of a captured connection.
type ClientFinder interface {
	// ClientOpen reports whether a process still holds the client's socket, given its own address and the one it went to. known is
	// false when that cannot be determined. It must not block.
	ClientOpen(client, original netip.AddrPort) (open, known bool)
}

// Client is the client's side of a captured connection.
type Client struct {
	// immutable
	ID uint64 // of the server's connections, not 0
	route.Origin
	Conn *transport.Conn
	// Share is its pod's part of what pods share.
	Share *PodShare

	Activity Activity

	// OnDrain is called, again and again, while the agent drains; nil: nothing is. It must not block.
	OnDrain atomic.Pointer[func()]

	half  atomic.Pointer[half] // what is known of a client that has ended its side; nil: it was not asked for
	ended atomic.Bool          // our side of the connection was ended, see EndSide
}

// Left reports whether the client has gone away, or its connection is to end. A client that has only ended its side (half-close) has
// not gone: it waits for its response (rule 4). Left may be called from any goroutine. It costs one system call until the client has
// ended its side.
func (c *Client) Left() bool {
	if c.Conn.Interrupted() {
		return true
	}
	switch c.Conn.Ending() {
	case transport.Open:
		return false
	case transport.HalfClosed:
		return c.gone()
	case transport.Broken:
		if c.ended.Load() { // both sides have ended, which the kernel shows like a reset
			return c.gone()
		}
	}
	return true
}

// gone reports whether a client that has ended its side is known to have gone.
func (c *Client) gone() bool {
	h := c.half.Load()
	if h == nil {
		c.half.CompareAndSwap(nil, &half{})
		h = c.half.Load()
	}
	return h.gone(time.Now(), c.open)
}

// open asks the pod's side of the connection.
func (c *Client) open() (open, known bool) {
	finder, ok := c.Table.Dialer(c.Pod).(ClientFinder)
	if !ok {
		return false, false
	}
	from := c.Conn.RemoteAddr()
	if !from.IsValid() {
		return false, false
	}
	return finder.ClientOpen(from, c.Original)
}

// EndSide sends FIN to the client, which may go on sending.
func (c *Client) EndSide() error {
	c.ended.Store(true)
	return c.Conn.CloseWrite()
}

// SideEnded reports whether EndSide was called.
func (c *Client) SideEnded() bool { return c.ended.Load() }

// Interrupt makes the goroutine that serves the connection end. A client that is not between two requests gets a reset, because what it
// has received is not complete.
func (c *Client) Interrupt() {
	if !c.Activity.betweenRequests() {
		c.Conn.ResetOnClose()
	}
	c.Conn.Interrupt()
}

// CloseIfIdle interrupts a connection that has been waiting for a request since before a time.
func (c *Client) CloseIfIdle(before time.Time) {
	if c.Activity.closeIfIdle(before) {
		c.Conn.Interrupt()
	}
}
