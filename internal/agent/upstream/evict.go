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
func (p *Pool) evictOldest(hc *hostConns, n int, victims []*Conn) []*Conn {
	if n <= 0 {
		return victims
	}
	victims = append(victims, hc.idle[:n]...)
	hc.idle = slices.Delete(hc.idle, 0, n)
	p.evicted(hc, victims[len(victims)-n:])
	return victims
}

// evictIf takes those that are unfit.
func (p *Pool) evictIf(hc *hostConns, unfit func(*Conn) bool, victims []*Conn) []*Conn {
	before := len(victims)
	kept := hc.idle[:0]
	for _, c := range hc.idle {
		if unfit(c) {
			victims = append(victims, c)
		} else {
			kept = append(kept, c)
		}
	}
	if len(victims) == before {
		return victims
	}
	clear(hc.idle[len(kept):])
	hc.idle = kept
	p.evicted(hc, victims[before:])
	return victims
}

// evictAll takes every one of every host.
func (p *Pool) evictAll(victims []*Conn) []*Conn {
	for len(p.withIdle) > 0 {
		hc := p.withIdle[len(p.withIdle)-1]
		victims = p.evictOldest(hc, len(hc.idle), victims)
	}
	return victims
}

// trimIdle takes those above MaxIdlePerEndpoint.
func (p *Pool) trimIdle(hc *hostConns, victims []*Conn) []*Conn {
	return p.evictOldest(hc, len(hc.idle)-max(p.limits.MaxIdlePerEndpoint, 0), victims)
}

// evicted accounts for connections that were taken.
func (p *Pool) evicted(hc *hostConns, taken []*Conn) {
	for _, c := range taken {
		c.idle = false
	}
	p.idle -= len(taken)
	p.open -= len(taken)
	hc.open -= len(taken)
	p.idleTaken(hc)
}

func closeAll(victims []*Conn) {
	for _, c := range victims {
		_ = c.Close()
	}
}
