package upstream

import "time"

// release ends an exchange on a connection.
func (p *Pool) release(now time.Time, c *Conn, keep bool) {
	p.mu.Lock()
	p.put(now, c, keep, now)
}

// unused gives back a connection on which nothing was sent.
func (p *Pool) unused(now time.Time, c *Conn) {
	p.mu.Lock()
	c.uses--
	idleSince := c.idleSince
	if c.capacity > 1 { // others may have used it meanwhile
		idleSince = now
	}
	p.put(now, c, true, idleSince)
}

// put ends an exchange on a connection, which goes on, is kept idle or closed. It expects the lock, and unlocks.
func (p *Pool) put(now time.Time, c *Conn, keep bool, idleSince time.Time) {
	hc := c.to
	hc.active--
	hc.host.outstanding.Add(-1)
	c.inUse--
	keep = keep && !c.draining && !p.closed && !hc.host.departed.Load() && !p.tooMany(hc) && !p.wornOut(idleSince, c)
	others := c.inUse > 0
	if others {
		c.draining = !keep
	}
	p.share(c)
	closing := false
	switch {
	case others:
	case keep && (len(hc.idle) < p.limits.MaxIdlePerEndpoint || p.waiting.head != nil):
		c.idleSince = idleSince
		p.push(c)
	default:
		p.open--
		hc.open--
		closing = true
	}
	var victims []*Conn
	if p.waiting.head != nil {
		victims = p.grantParked(now, nil)
		victims = p.trimIdle(hc, victims)
	}
	p.mu.Unlock()
	if closing {
		_ = c.Close()
	}
	if victims != nil {
		closeAll(victims)
	}
}

// vacate frees the place of a connection that was never made, or is none of the pool's any more.
func (p *Pool) vacate(now time.Time, hc *hostConns) {
	p.mu.Lock()
	hc.active--
	hc.host.outstanding.Add(-1)
	hc.open--
	p.open--
	victims := p.grantParked(now, nil)
	p.mu.Unlock()
	closeAll(victims)
}
