package upstream

import (
	"slices"
	"time"
)

// A connection carries as many exchanges at a time as its capacity says: 1, unless its driver says otherwise. As long as it carries fewer,
// requests are given a lease of it before an idle connection is taken or a new one made. Limits count connections. Whether a connection
// of a greater capacity is still fit is known to its driver alone, which calls Drain: the pool does not look at it.

// SetCapacity says how many exchanges the connection can carry at a time, as its server has announced.
func (c *Conn) SetCapacity(n int) {
	p, now := c.pool, time.Now()
	p.mu.Lock()
	c.capacity = max(n, 1)
	c.to.streams = c.capacity
	p.share(c)
	p.finishPendingDial(c)
	closing := p.grantParked(now, c.to, nil)
	p.mu.Unlock()
	closeAll(closing)
}

// Expected is how many exchanges the connection can carry as long as its server has not announced it: as many as the last one to the host.
func (c *Conn) Expected() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.to.expected()
}

// Drain has the connection take no more exchanges. It is closed when those under way have ended.
func (c *Conn) Drain() {
	p, now := c.pool, time.Now()
	var closing []*Conn
	p.mu.Lock()
	c.draining = true
	p.share(c)
	if c.idle {
		closing = p.evictIf(c.to, func(other *Conn) bool { return other == c }, nil)
		closing = p.grantParked(now, c.to, closing)
	}
	p.mu.Unlock()
	closeAll(closing)
}

// share sees to it that a connection is among the shared ones of its host if it is in use and can take more. This and the functions below
// expect the lock.
func (p *Pool) share(c *Conn) {
	can := c.inUse > 0 && c.inUse < c.capacity && !c.draining && !p.closed && !p.usedUp(c)
	if can == c.sharing {
		return
	}
	hc := c.to
	if c.sharing = can; can {
		p.shared++
		hc.shared = append(hc.shared, c)
		return
	}
	p.shared--
	hc.shared = slices.DeleteFunc(hc.shared, func(other *Conn) bool { return other == c })
}

// leaseIdle begins an exchange on a request's connection, which was idle.
func (p *Pool) leaseIdle(r *Request) {
	c := r.conn
	c.uses++
	c.inUse = 1
	r.nth, r.unchecked = c.uses, c.multiplexed
	p.share(c)
}

// leaseShared begins an exchange on a connection that carries others.
func (p *Pool) leaseShared(r *Request) {
	c := r.to.shared[len(r.to.shared)-1]
	c.uses++
	c.inUse++
	r.conn, r.nth, r.unchecked = c, c.uses, true
	p.share(c)
}
