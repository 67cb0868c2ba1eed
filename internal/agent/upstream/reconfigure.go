package upstream

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// Reconfigure puts new limits and a new way of balancing in force. Of the connections above a lowered limit, idle ones are closed
// at once, others when their exchange ends.
func (p *Pool) Reconfigure(limits policy.Pool, balancing policy.LoadBalancing) {
	p.mu.Lock()
	if p.limits == limits && p.balancing == balancing {
		p.mu.Unlock()
		return
	}
	p.limits, p.balancing = limits, balancing
	var victims []*Conn
	for _, at := range slices.Clone(p.withIdle) {
		for len(at.idle) > 0 && p.tooMany(at) {
			victims = append(victims, p.evict(at, 0))
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

// SetEndpoints replaces the destination's endpoints, which the caller must not change any more. Calls in flight to one that is
// gone go on; its idle connections are closed.
func (p *Pool) SetEndpoints(addrs []netip.AddrPort) {
	p.mu.Lock()
	if same(p.given, addrs) {
		p.mu.Unlock()
		return
	}
	victims := p.setEndpoints(addrs)
	victims = append(victims, p.grantWaiting()...)
	p.mu.Unlock()
	closeAll(victims)
}

// same reports whether two lists say the same, at once if they are one.
func same(a, b []netip.AddrPort) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

func (p *Pool) setEndpoints(addrs []netip.AddrPort) (victims []*Conn) {
	old := p.endpoints
	for f := range old {
		for _, at := range old[f] {
			at.own, at.gone = false, true
		}
	}
	p.given, p.endpoints = addrs, [families][]*endpoint{}
	for _, addr := range addrs {
		at := p.byAddr[addr]
		if at == nil {
			at = &endpoint{addr: addr}
			p.byAddr[addr] = at
		}
		if at.own {
			continue // named twice
		}
		at.own, at.gone = true, false
		f := familyOf(addr.Addr())
		p.endpoints[f] = append(p.endpoints[f], at)
	}
	for f := range old {
		for _, at := range old[f] {
			if at.gone {
				victims = p.drop(at, victims)
			}
		}
	}
	return victims
}

// drop takes leave of an endpoint that is gone. Connections in flight keep it alive; should its address come back meanwhile, they
// count against the old entry and are closed when they end.
func (p *Pool) drop(at *endpoint, victims []*Conn) []*Conn {
	for len(at.idle) > 0 {
		victims = append(victims, p.evict(at, 0))
	}
	p.clearHealth(at)
	p.forget(at)
	return victims
}

// forget drops the entry of an endpoint.
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
	for len(p.withIdle) > 0 {
		at := p.withIdle[len(p.withIdle)-1]
		victims = append(victims, p.evict(at, len(at.idle)-1))
	}
	return victims
}
