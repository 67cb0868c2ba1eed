package upstream

import (
	"slices"
	"time"
)

// A connection carries as many exchanges at a time as its capacity says: 1, unless it is a multiplexed one. As long as it carries fewer,
// requests are given a lease of it before an idle connection is taken or a new one made. Limits count connections. Whether a connection
// of a greater capacity is still fit is known to its driver alone, which calls Drain: the pool does not look at it.

// SetCapacity says how many exchanges the connection can carry at a time, as its server has announced; none at all is possible, and holds until
// the server announces more. The policy may allow fewer.
func (c *Conn) SetCapacity(n int) {
	p, now := c.pool, time.Now()
	p.change(func() []*Conn {
		c.announced = max(n, 0)
		c.to.streams = c.announced
		p.recount(c)
		p.finishPendingDial(c)
		return p.grantParked(now, c.to, nil)
	})
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
	p.change(func() []*Conn {
		c.draining = true
		p.share(c)
		if !c.idle {
			return nil
		}
		closing := p.evictIf(c.to, func(other *Conn) bool { return other == c }, nil)
		return p.grantParked(now, c.to, closing)
	})
}

// streamLimit is how many exchanges the policy allows on a multiplexed connection. This and the functions below expect the lock.
func (p *Pool) streamLimit() int {
	if p.limits.MaxStreams > 0 {
		return p.limits.MaxStreams
	}
	return DefaultStreams
}

// recount has a connection carry as many exchanges as its server and the policy allow.
func (p *Pool) recount(c *Conn) {
	if c.multiplexed {
		c.capacity = min(c.announced, p.streamLimit())
		p.share(c)
	}
}

// recountAll does so for all connections to a host.
func (p *Pool) recountAll(hc *hostConns) {
	for _, list := range [][]*Conn{slices.Clone(hc.shared), slices.Clone(hc.full), hc.idle} {
		for _, c := range list {
			p.recount(c)
		}
	}
}

// load is what a multiplexed connection that is in use, and not to be closed behind that, can take.
type load uint8

const (
	_       load = iota // it is no such connection
	hasRoom             // more exchanges
	isFull              // none, until one of those under way has ended
)

// share sees to it that a multiplexed connection is listed by what it can take.
func (p *Pool) share(c *Conn) {
	if !c.multiplexed {
		return
	}
	stays := !c.draining && !p.closed
	var now load
	switch {
	case !stays || c.inUse == 0 || p.usedUp(c):
	case c.inUse < c.capacity:
		now = hasRoom
	default:
		now = isFull
	}
	c.to.bar(c, stays && c.capacity == 0 && (c.inUse > 0 || c.idle))
	if now == c.load {
		return
	}
	p.list(c, c.load, -1)
	p.list(c, now, 1)
	c.load = now
}

// list adds a connection to those of its host that are loaded so, or takes it away.
func (p *Pool) list(c *Conn, l load, by int) {
	hc := c.to
	list := &hc.full
	switch l {
	case hasRoom:
		list = &hc.shared
		p.shared += by
	case isFull:
	default:
		return
	}
	if by > 0 {
		*list = append(*list, c)
		return
	}
	*list = slices.DeleteFunc(*list, func(other *Conn) bool { return other == c })
}

// bar counts a connection that takes no exchanges until its server says so.
func (hc *hostConns) bar(c *Conn, barred bool) {
	if barred == c.barred {
		return
	}
	if c.barred = barred; barred {
		hc.barred++
		return
	}
	hc.barred--
	c.pool.changed = true // who waits may have another connection made
}

// leaseIdle begins an exchange on a request's connection, which was idle.
func (p *Pool) leaseIdle(r *Request) {
	c := r.conn
	c.uses++
	c.inUse = 1
	r.nth, r.unchecked = c.uses, c.multiplexed
	if c.multiplexed {
		c.client = r.Client
	}
	p.share(c)
}

// leaseShared begins an exchange on a connection that carries others.
func (p *Pool) leaseShared(r *Request, c *Conn) {
	c.uses++
	c.inUse++
	c.client = r.Client
	r.conn, r.nth, r.unchecked = c, c.uses, true
	p.share(c)
}

// leaseMultiplexed begins an exchange on a connection to the host that carries many, if there is one.
func (p *Pool) leaseMultiplexed(now time.Time, hc *hostConns, r *Request) bool {
	if r.Careful {
		if p.leaseProven(now, hc, r) {
			return true
		}
		if hc.barred == 0 && p.available(hc, true, true) {
			return false // a new one
		}
	}
	if n := len(hc.shared); n > 0 {
		p.leaseShared(r, hc.shared[n-1])
		return true
	}
	if r.conn = p.pop(hc, true); r.conn == nil {
		return false
	}
	p.leaseIdle(r)
	return true
}

// leaseProven does so on a connection that has proved alive, to whoever asks or to all.
func (p *Pool) leaseProven(now time.Time, hc *hostConns, r *Request) bool {
	for i := len(hc.shared) - 1; i >= 0; i-- {
		if c := hc.shared[i]; c.alive(now, r.Client) {
			p.leaseShared(r, c)
			return true
		}
	}
	for i := len(hc.idle) - 1; i >= 0; i-- {
		if c := hc.idle[i]; c.multiplexed && c.capacity > 0 && c.alive(now, r.Client) {
			r.conn = p.pull(hc, i)
			p.leaseIdle(r)
			return true
		}
	}
	return false
}

// Heard notes that the server of a multiplexed connection has just sent something. It is called by its user only.
func (c *Conn) Heard(now time.Time) { c.heard.Store(int64(now.Sub(c.born))) }

// alive is proven for a multiplexed connection: exchanges of others may be under way on it, and say nothing by themselves.
func (c *Conn) alive(now time.Time, client uint64) bool {
	return client != 0 && c.client == client || now.Sub(c.born)-time.Duration(c.heard.Load()) < provenFor
}
