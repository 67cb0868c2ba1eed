package upstream

import (
	"slices"
	"time"
)

// provenFor is how long an idle connection counts as proven alive to any client: less than servers keep idle connections.
const provenFor = 500 * time.Millisecond

// proven reports whether an idle connection has just shown that its server keeps it: a server that closes idle connections may
// be doing so while the next request is under way to it, and a request that must not be sent twice would be lost with it. Where
// the same client used it last, things are as they are without us, when it keeps a connection of its own.
func (c *Conn) proven(now time.Time, client uint64) bool {
	return client != 0 && c.client == client || now.Sub(c.idleSince) < provenFor
}

// push makes a connection idle. It keeps the order by age, which only a connection that was taken in vain disturbs. All functions below
// expect the lock.
func (p *Pool) push(c *Conn) {
	hc := c.to
	i := len(hc.idle)
	for i > 0 && hc.idle[i-1].idleSince.After(c.idleSince) {
		i--
	}
	hc.idle = slices.Insert(hc.idle, i, c)
	c.idle = true
	p.share(c)
	p.idle++
	if len(hc.idle) == 1 {
		hc.index = len(p.withIdle)
		p.withIdle = append(p.withIdle, hc)
	}
}

// pull takes the i-th idle connection to a host. It still counts as open.
func (p *Pool) pull(hc *hostConns, i int) *Conn {
	c := hc.idle[i]
	hc.idle = slices.Delete(hc.idle, i, i+1)
	c.idle = false
	p.share(c)
	p.idle--
	p.idleTaken(hc)
	return c
}

// idleTaken sees to it that withIdle lists a host, from which idle connections were taken, only while it has some.
func (p *Pool) idleTaken(hc *hostConns) {
	if len(hc.idle) > 0 {
		return
	}
	last := len(p.withIdle) - 1
	p.withIdle[hc.index] = p.withIdle[last]
	p.withIdle[hc.index].index = hc.index
	p.withIdle[last] = nil
	p.withIdle = p.withIdle[:last]
}

// pop takes the newest idle connection of a kind to a host, or nil.
func (p *Pool) pop(hc *hostConns, multiplexed bool) *Conn {
	for i := len(hc.idle) - 1; i >= 0; i-- {
		if hc.idle[i].serves(multiplexed) {
			return p.pull(hc, i)
		}
	}
	return nil
}

// pullOf takes the newest idle connection that a client used last, or nil.
func (p *Pool) pullOf(hc *hostConns, client uint64) *Conn {
	if client == 0 {
		return nil
	}
	for i := len(hc.idle) - 1; i >= 0; i-- {
		if hc.idle[i].client == client && !hc.idle[i].multiplexed {
			return p.pull(hc, i)
		}
	}
	return nil
}
