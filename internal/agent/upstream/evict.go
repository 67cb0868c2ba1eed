package upstream

import "slices"

// The functions of this file take idle connections out of the pool for good; the caller closes them after unlocking. They expect the
// lock, and cost no more than a look at each idle connection of the host.

// evict takes the oldest idle connection to a host.
func (p *Pool) evict(hc *hostConns) *Conn {
	c := p.pull(hc, 0)
	p.open--
	hc.open--
	return c
}

// evictOldest takes the n oldest ones.
func (p *Pool) evictOldest(hc *hostConns, n int, closing []*Conn) []*Conn {
	if n <= 0 {
		return closing
	}
	closing = append(closing, hc.idle[:n]...)
	hc.idle = slices.Delete(hc.idle, 0, n)
	p.evicted(hc, closing[len(closing)-n:])
	return closing
}

// evictIf takes those that are unfit.
func (p *Pool) evictIf(hc *hostConns, unfit func(*Conn) bool, closing []*Conn) []*Conn {
	before := len(closing)
	kept := hc.idle[:0]
	for _, c := range hc.idle {
		if unfit(c) {
			closing = append(closing, c)
		} else {
			kept = append(kept, c)
		}
	}
	if len(closing) == before {
		return closing
	}
	clear(hc.idle[len(kept):])
	hc.idle = kept
	p.evicted(hc, closing[before:])
	return closing
}

// evictAll takes every one of every host.
func (p *Pool) evictAll(closing []*Conn) []*Conn {
	for len(p.withIdle) > 0 {
		hc := p.withIdle[len(p.withIdle)-1]
		closing = p.evictOldest(hc, len(hc.idle), closing)
	}
	return closing
}

// trimIdle takes those above MaxIdlePerEndpoint.
func (p *Pool) trimIdle(hc *hostConns, closing []*Conn) []*Conn {
	return p.evictOldest(hc, len(hc.idle)-max(p.limits.MaxIdlePerEndpoint, 0), closing)
}

// evicted accounts for connections that were taken.
func (p *Pool) evicted(hc *hostConns, taken []*Conn) {
	for _, c := range taken {
		c.idle = false
		p.share(c)
	}
	p.idle -= len(taken)
	p.open -= len(taken)
	hc.open -= len(taken)
	p.idleTaken(hc)
}

func closeAll(closing []*Conn) {
	for _, c := range closing {
		if c.byUser {
			c.Interrupt()
			continue
		}
		_ = c.Close()
	}
}
