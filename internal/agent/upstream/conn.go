package upstream

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/socket"
)

// Conn is a pooled connection. Between Pool.Ask or Pool.Dial and Pool.Done it belongs to the caller, otherwise to the pool.
type Conn struct {
	*socket.Conn
	// Attachment is whatever its user wants to find again with the connection.
	Attachment any

	pool *Pool
	at   *endpoint
	born time.Time
	// guarded by pool.mu while idle, the caller's otherwise
	idleSince time.Time
	uses      int
}

// Reused reports whether the connection has served an exchange before the present one.
func (c *Conn) Reused() bool { return c.uses > 1 }

// Peer is the address the connection was dialled to.
func (c *Conn) Peer() netip.AddrPort { return c.at.addr }

// endpoint is one address of a pool. It is guarded by the pool's lock.
type endpoint struct {
	addr netip.AddrPort
	// idle connections, newest last
	idle []*Conn
	// open counts connections, those being dialled included; active those given out.
	open, active int
	// gone: no longer among the destination's endpoints; what is in flight goes on, nothing is kept.
	gone bool
}

func (e *endpoint) pop() *Conn {
	last := len(e.idle) - 1
	if last < 0 {
		return nil
	}
	c := e.idle[last]
	e.idle[last] = nil
	e.idle = e.idle[:last]
	return c
}

// popOldest takes the connection that has been idle the longest.
func (e *endpoint) popOldest() *Conn {
	if len(e.idle) == 0 {
		return nil
	}
	c := e.idle[0]
	copy(e.idle, e.idle[1:])
	e.idle[len(e.idle)-1] = nil
	e.idle = e.idle[:len(e.idle)-1]
	return c
}
