package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Conn is a pooled connection. It belongs to those who hold a Lease of it, otherwise to the pool.
type Conn struct {
	*transport.Conn
	// Attachment is whatever its user wants to find again with the connection.
	Attachment any

	// immutable
	pool *Pool
	to   *hostConns
	born time.Time
	// security is what has secured it
	security Security
	// multiplexed is Request.Multiplexed of the request that it was made for
	multiplexed bool

	// guarded by pool.mu while idle or shared, the lease holder's otherwise
	idleSince time.Time
	idleLimit time.Duration // set by LimitIdle; 0: none, negative: not to be kept at all
	client    uint64        // Request.Client of its last user, or of who began the last exchange
	uses      int           // exchanges, those under way included

	// guarded by pool.mu
	announced int // by SetCapacity
	capacity  int // exchanges that may be under way together
	inUse     int // exchanges under way
	idle      bool
	load      load         // what it is listed as
	barred    bool         // it is among hostConns.barred
	byUser    bool         // see CloseByUser
	draining  bool         // it takes no more exchanges
	pending   *pendingDial // whose requests wait until SetCapacity; nil: none do

	heard atomic.Int64 // since born, in nanoseconds: when its server was heard last

	detached bool // the lease holder's
}

// CloseByUser has the pool interrupt the connection (transport.Conn.Interrupt) where it would close it: its user, who reads it all the time,
// closes it then. It is called before the connection can be had by others.
func (c *Conn) CloseByUser() { c.byUser = true }

// hintMargin is how long before the time that a server has announced its connection is given up: the announcement may have been
// under way for a while, and so may be the next request.
const hintMargin = time.Second

// Peer is the address the connection was dialled to.
func (c *Conn) Peer() netip.AddrPort { return c.to.host.addr }

// LimitIdle says that the server closes the connection when it has been idle for d (RFC 9112 section 9.3 leaves the time to
// servers; many announce it in a Keep-Alive field). It is not kept idle for longer than a second less. It is called before Release.
func (c *Conn) LimitIdle(d time.Duration) {
	c.idleLimit = d - hintMargin
	if c.idleLimit <= 0 {
		c.idleLimit = -1
	}
}

// overdue reports whether the server is about to close the idle connection, as it has announced.
func (c *Conn) overdue(now time.Time) bool {
	return c.idleLimit != 0 && now.Sub(c.idleSince) >= c.idleLimit
}

// usedUp reports whether a connection has served often enough.
func (p *Pool) usedUp(c *Conn) bool {
	return p.limits.MaxRequestsPerConnection > 0 && c.uses >= p.limits.MaxRequestsPerConnection
}

// wornOut reports whether a connection has served long or often enough.
func (p *Pool) wornOut(now time.Time, c *Conn) bool {
	return p.usedUp(c) || p.limits.MaxLifetime > 0 && now.Sub(c.born) >= p.limits.MaxLifetime
}
