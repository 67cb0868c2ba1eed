package upstream

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Conn is a pooled connection. Between Pool.Ask or Pool.Dial and Pool.Done it belongs to the caller, otherwise to the pool.
type Conn struct {
	*transport.Conn
	// Attachment is whatever its user wants to find again with the connection.
	Attachment any

	pool *Pool
	at   *endpoint
	born time.Time
	// guarded by pool.mu while idle, the caller's otherwise
	idleSince time.Time
	idleLimit time.Duration // set by LimitIdle; 0: none, negative: not to be kept at all
	client    uint64        // Ticket.Client of its last user
	uses      int
	idle      bool
	detached  bool
}

// hintMargin is how long before the time that a server has announced its connection is given up: the announcement may have been
// under way for a while, and so may be the next request.
const hintMargin = time.Second

// Reused reports whether the connection has served an exchange before the present one.
func (c *Conn) Reused() bool { return c.uses > 1 }

// Peer is the address the connection was dialled to.
func (c *Conn) Peer() netip.AddrPort { return c.at.addr }

// LimitIdle says that the server closes the connection when it has been idle for d (RFC 9112 section 9.3 leaves the time to
// servers; many announce it in a Keep-Alive field). It is not kept idle for longer than a second less. It is called before Done.
func (c *Conn) LimitIdle(d time.Duration) {
	c.idleLimit = d - hintMargin
	if c.idleLimit <= 0 {
		c.idleLimit = -1
	}
}

// overdue reports whether the server is about to close the idle connection by its own word.
func (c *Conn) overdue(now time.Time) bool {
	return c.idleLimit != 0 && now.Sub(c.idleSince) >= c.idleLimit
}

// Report tells how an exchange on the connection ended, for balancing: failed means that the endpoint did not do its work (a
// reset, a response of 5xx or 429). It is called once per try, before Done. Good news of an endpoint in good health takes no lock.
func (c *Conn) Report(failed bool, now time.Time) {
	if !failed && !c.at.unhealthy.Load() {
		return
	}
	c.pool.mu.Lock()
	c.pool.noteResult(c.at, failed, now)
	c.pool.mu.Unlock()
}

// Detach takes the connection out of its pool for good: it counts against no limit any more, and closing it is the caller's
// business. It is for connections that have turned into something else than a carrier of requests.
func (c *Conn) Detach() {
	if c.detached {
		return
	}
	c.detached = true
	c.pool.vacate(c.at)
}
