package upstream

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// endpoint is one address of a pool. But for unhealthy it is guarded by the pool's lock.
type endpoint struct {
	addr netip.AddrPort
	// idle connections, newest last
	idle []*Conn
	// place is where it is in Pool.withIdle, which holds it while it has idle connections.
	place int
	// open counts connections, those being dialled included; active those given out.
	open, active int
	// own: among the destination's endpoints, not named by a client. gone: it was, and is no more; what is in flight goes on,
	// nothing is kept.
	own, gone bool

	health *health // nil: good
	// unhealthy is whether there is a health, for those who only have good news.
	unhealthy atomic.Bool
}

// push makes a connection idle. It keeps the order by age, which only a connection that was taken in vain disturbs.
func (p *Pool) push(c *Conn) {
	at := c.at
	i := len(at.idle)
	for i > 0 && at.idle[i-1].idleSince.After(c.idleSince) {
		i--
	}
	at.idle = slices.Insert(at.idle, i, c)
	c.idle = true
	p.idle++
	if len(at.idle) == 1 {
		at.place = len(p.withIdle)
		p.withIdle = append(p.withIdle, at)
	}
}

// pull takes the i-th idle connection of an endpoint out of the pool. It still counts as open.
func (p *Pool) pull(at *endpoint, i int) *Conn {
	c := at.idle[i]
	copy(at.idle[i:], at.idle[i+1:])
	at.idle[len(at.idle)-1] = nil
	at.idle = at.idle[:len(at.idle)-1]
	c.idle = false
	p.idle--
	if len(at.idle) == 0 {
		last := len(p.withIdle) - 1
		p.withIdle[at.place] = p.withIdle[last]
		p.withIdle[at.place].place = at.place
		p.withIdle[last] = nil
		p.withIdle = p.withIdle[:last]
	}
	return c
}

// pop takes an endpoint's newest idle connection, or nil.
func (p *Pool) pop(at *endpoint) *Conn {
	if len(at.idle) == 0 {
		return nil
	}
	return p.pull(at, len(at.idle)-1)
}

// pullOf takes the newest idle connection that a client used last, or nil.
func (p *Pool) pullOf(at *endpoint, client uint64) *Conn {
	if client == 0 {
		return nil
	}
	for i := len(at.idle) - 1; i >= 0; i-- {
		if at.idle[i].client == client {
			return p.pull(at, i)
		}
	}
	return nil
}

// evict takes an idle connection out of the pool for good; the caller closes it.
func (p *Pool) evict(at *endpoint, i int) *Conn {
	c := p.pull(at, i)
	p.open--
	at.open--
	return c
}

// proven reports whether an idle connection has just shown that its server keeps it: a server that closes idle connections may
// be doing so while the next request is under way to it, and a request that must not be sent twice would be lost with it. Where
// the same client used it last, things are as they are without us, when it keeps a connection of its own.
func (c *Conn) proven(client uint64, now time.Time) bool {
	return client != 0 && c.client == client || now.Sub(c.idleSince) < provenFor
}
