package upstream

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Reconfigure puts new limits and a new way of balancing in force. Of the connections above a lowered limit, idle ones are closed
// at once, others when their exchange ends.
func (p *Pool) Reconfigure(limits policy.Pool, balancing policy.LoadBalancing) {
	p.mu.Lock()
	p.limits, p.balancing = limits, balancing
	var victims []*Conn
	for _, at := range p.byAddr {
		for len(at.idle) > 0 && p.tooMany(at) {
			victims = append(victims, p.evict(at))
		}
	}
	victims = append(victims, p.grantWaiting()...)
	p.mu.Unlock()
	closeAll(victims)
}

// tooMany reports whether more connections are open than a limit allows, as after it was lowered.
func (p *Pool) tooMany(at *endpoint) bool {
	return p.limits.MaxConnections > 0 && p.open > p.limits.MaxConnections ||
		p.limits.MaxConnectionsPerEndpoint > 0 && at.open > p.limits.MaxConnectionsPerEndpoint
}

// SetEndpoints replaces the destination's endpoints. Calls in flight to one that is gone go on; its idle connections are
// closed.
func (p *Pool) SetEndpoints(addrs []netip.AddrPort) {
	p.mu.Lock()
	victims := p.setEndpoints(addrs)
	victims = append(victims, p.grantWaiting()...)
	p.mu.Unlock()
	closeAll(victims)
}

func (p *Pool) setEndpoints(addrs []netip.AddrPort) (victims []*Conn) {
	old := p.endpoints
	for _, at := range old {
		at.gone = true
	}
	p.endpoints = make([]*endpoint, 0, len(addrs))
	for _, addr := range addrs {
		at := p.at(addr)
		at.gone = false
		p.endpoints = append(p.endpoints, at)
	}
	for _, at := range old {
		if !at.gone {
			continue
		}
		for len(at.idle) > 0 {
			victims = append(victims, p.evict(at))
		}
		p.forget(at)
	}
	return victims
}

// forget drops the entry of an endpoint. Connections in flight keep it alive; should its address come back meanwhile, they
// count against the old entry and are closed when they end.
func (p *Pool) forget(at *endpoint) {
	delete(p.byAddr, at.addr)
	if p.last == at {
		p.last = nil
	}
}

// Close closes what is idle and has the rest closed when its exchange ends. A closed pool still serves those who hold it, with
// a new connection for every call.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	victims := append(p.evictAll(), p.grantWaiting()...)
	p.mu.Unlock()
	closeAll(victims)
}

// CloseIdle closes the idle connections; the pool goes on.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	victims := p.evictAll()
	p.mu.Unlock()
	closeAll(victims)
}

// evictAll takes every idle connection out of the pool.
func (p *Pool) evictAll() (victims []*Conn) {
	for _, at := range p.byAddr {
		for len(at.idle) > 0 {
			victims = append(victims, p.evict(at))
		}
	}
	return victims
}

// sweep closes idle connections that are too old, too many or dead, and drops addresses nobody uses.
func (p *Pool) sweep(now time.Time) {
	var victims []*Conn
	p.mu.Lock()
	for _, at := range p.byAddr {
		victims = p.sweepEndpoint(at, now, victims)
	}
	if len(victims) > 0 {
		victims = append(victims, p.grantWaiting()...)
	}
	p.mu.Unlock()
	closeAll(victims)
}

func (p *Pool) sweepEndpoint(at *endpoint, now time.Time, victims []*Conn) []*Conn {
	for len(at.idle) > 0 && p.expired(at.idle[0], now) {
		victims = append(victims, p.evict(at))
	}
	for len(at.idle) > p.limits.MaxIdlePerEndpoint {
		victims = append(victims, p.evict(at))
	}
	if at.open == 0 && !p.owns(at) {
		p.forget(at)
	}
	return victims
}

// expired reports whether an idle connection has waited, or lived, long enough.
func (p *Pool) expired(c *Conn, now time.Time) bool {
	return p.limits.IdleTimeout > 0 && now.Sub(c.idleSince) >= p.limits.IdleTimeout || p.wornOut(c, now)
}

// owns reports whether an endpoint is one of the destination's own, not one a client named.
func (p *Pool) owns(at *endpoint) bool { return slices.Contains(p.endpoints, at) }
