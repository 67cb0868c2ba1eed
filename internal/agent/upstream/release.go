package upstream

import "time"

// release ends an exchange on a connection.
func (p *Pool) release(now time.Time, c *Conn, keep bool) {
	p.change(func() []*Conn { return p.put(now, c, keep, now) })
}

// change does something under the lock, which is released even if that panics: of all the pod's calls only one is to suffer. The connections that
// are to be closed after that are closed without the lock.
func (p *Pool) change(do func() (closing []*Conn)) {
	closeAll(p.locked(do))
}

func (p *Pool) locked(do func() (closing []*Conn)) (closing []*Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return do()
}

// putBack gives back a connection on which nothing was sent.
func (p *Pool) putBack(now time.Time, c *Conn) {
	p.change(func() []*Conn {
		c.uses--
		idleSince := c.idleSince
		if c.capacity > 1 { // others may have used it meanwhile
			idleSince = now
		}
		return p.put(now, c, true, idleSince)
	})
}

// put ends an exchange on a connection, which goes on for others, is kept idle or is to be closed. It expects the lock, and returns the
// connections to be closed after unlocking.
func (p *Pool) put(now time.Time, c *Conn, keep bool, idleSince time.Time) (closing []*Conn) {
	hc := c.to
	hc.host.outstanding.Add(-1)
	c.inUse--
	keep = keep && !c.draining && c.security == p.security && !p.closed && !hc.host.departed.Load() && !p.tooMany(hc) && !p.wornOut(idleSince, c)
	others := c.inUse > 0
	if others {
		c.draining = !keep
	}
	p.share(c)
	p.finishPendingDial(c)
	switch {
	case others:
	case keep && (len(hc.idle) < p.limits.MaxIdlePerEndpoint || p.waiting.len > 0):
		c.idleSince = idleSince
		p.push(c)
	default:
		p.open--
		hc.open--
		closing = append(closing, c)
	}
	if p.waiting.len > 0 {
		closing = p.trimIdle(hc, p.grantParked(now, hc, closing))
	}
	return closing
}

// vacate frees the place of a connection that was never made, or has been taken out of the pool.
func (p *Pool) vacate(now time.Time, hc *hostConns) {
	p.change(func() []*Conn {
		hc.host.outstanding.Add(-1)
		hc.open--
		p.open--
		return p.grantParked(now, hc, nil)
	})
}
