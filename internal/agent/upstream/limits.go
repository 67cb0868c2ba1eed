package upstream

import "time"

// grant gives the request a connection or the place for a new one, if there is one. All functions of this file expect the
// lock. evicted is an idle connection that had to make room, or nil; the caller closes it after unlocking.
func (p *Pool) grant(now time.Time, r *Request) (ok bool, evicted *Conn) {
	hc, fresh := p.choose(now, r)
	if hc == nil {
		return false, nil
	}
	if r.Choice != nil {
		p.explain(now, r, hc)
	}
	r.to, r.state, r.conn, r.err = hc, granted, nil, nil
	hc.host.outstanding.Add(1)
	if !fresh && p.leaseReady(now, hc, r) || r.Multiplexed && hc.join(r) {
		return true, nil
	}
	evicted = p.makeRoom(hc)
	p.open++
	hc.open++
	if r.Multiplexed {
		p.beginDial(hc, r)
	}
	return true, evicted
}

// leaseReady begins an exchange on a connection that is there already, if there is one of the kind that is wanted.
func (p *Pool) leaseReady(now time.Time, hc *hostConns, r *Request) bool {
	if r.Multiplexed {
		return p.leaseMultiplexed(now, hc, r)
	}
	if r.conn = p.pop(hc, false); r.conn == nil {
		return false
	}
	p.leaseIdle(r)
	return true
}

// makeRoom takes an idle connection out of the pool if a new one to the host would be one too many.
func (p *Pool) makeRoom(hc *hostConns) *Conn {
	switch {
	case len(hc.idle) > 0 && p.hostFull(hc):
		return p.evict(hc)
	case p.poolFull():
		return p.evict(p.mostIdle())
	}
	return nil
}

// hasRoom reports whether anybody at all can be served.
func (p *Pool) hasRoom() bool { return p.shared > 0 || p.canDial() }

// canDial reports whether the limits allow a new connection to any host at all, in place of an idle one if need be.
func (p *Pool) canDial() bool { return p.idle > 0 || !p.poolFull() }

// poolFull and hostFull report whether a new connection would be one too many.
func (p *Pool) poolFull() bool {
	return p.limits.MaxConnections > 0 && p.open >= p.limits.MaxConnections
}

func (p *Pool) hostFull(hc *hostConns) bool {
	return p.limits.MaxConnectionsPerEndpoint > 0 && hc.open >= p.limits.MaxConnectionsPerEndpoint
}

func (p *Pool) full(hc *hostConns) bool { return p.poolFull() || p.hostFull(hc) }

// available reports whether the host can take one more exchange. hc is nil when the pool has never used it.
func (p *Pool) available(hc *hostConns, fresh, multiplexed bool) bool {
	if hc != nil && hc.barred > 0 && multiplexed && !fresh {
		return hc.hasReady(true) // a new connection would be no better off, and every call would make one
	}
	if hc != nil && (len(hc.idle) > 0 || !fresh && multiplexed && len(hc.shared) > 0) {
		return true
	}
	return p.canDial() && (hc == nil || !p.hostFull(hc))
}

// mostIdle returns the host with the most idle connections. There is at least one: it is asked only when the pool is full
// and somebody was found a place.
func (p *Pool) mostIdle() *hostConns {
	most := p.withIdle[0]
	for _, hc := range p.withIdle[1:] {
		if len(hc.idle) > len(most.idle) {
			most = hc
		}
	}
	return most
}
