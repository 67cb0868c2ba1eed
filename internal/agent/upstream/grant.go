package upstream

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// grant gives the ticket an idle connection or the place for a new one, if there is one. All functions of this file expect the
// lock. The victim is an idle connection that had to make room; the caller closes it after unlocking.
func (p *Pool) grant(t *Ticket) (ok bool, victim *Conn) {
	at := p.choose(t)
	if at == nil {
		return false, nil
	}
	if !t.Fresh {
		t.conn = at.pop()
	}
	if t.conn != nil {
		t.conn.uses++
		p.idle--
	} else {
		victim = p.makeRoom(at)
		p.open++
		at.open++
	}
	at.active++
	t.at, t.state = at, granted
	return true, victim
}

// makeRoom takes an idle connection out of the pool if a new one to at would be one too many.
func (p *Pool) makeRoom(at *endpoint) *Conn {
	switch {
	case len(at.idle) > 0 && p.limits.MaxConnectionsPerEndpoint > 0 && at.open >= p.limits.MaxConnectionsPerEndpoint:
		return p.evict(at)
	case p.limits.MaxConnections > 0 && p.open >= p.limits.MaxConnections:
		return p.evict(p.mostIdle())
	}
	return nil
}

// grantWaiting serves those who wait, first come first served. A ticket that needs an endpoint at its limit does not hold up
// those behind it that do not.
func (p *Pool) grantWaiting() (victims []*Conn) {
	for t := p.waiting.head; t != nil && p.hasRoom(); {
		next := t.next
		if ok, victim := p.grant(t); ok {
			p.waiting.remove(t)
			t.ready <- struct{}{}
			if victim != nil {
				victims = append(victims, victim)
			}
		}
		t = next
	}
	return victims
}

// hasRoom reports whether anybody at all can be served.
func (p *Pool) hasRoom() bool {
	return p.idle > 0 || p.limits.MaxConnections <= 0 || p.open < p.limits.MaxConnections
}

// available reports whether the endpoint can take one more exchange.
func (p *Pool) available(at *endpoint) bool {
	if len(at.idle) > 0 {
		return true
	}
	return p.hasRoom() && (p.limits.MaxConnectionsPerEndpoint <= 0 || at.open < p.limits.MaxConnectionsPerEndpoint)
}

// choose picks the endpoint for a ticket, or nil when the one that must be used, or every one that may be, is at its limit.
func (p *Pool) choose(t *Ticket) *endpoint {
	if t.Pinned || len(p.endpoints) == 0 || p.balancing == policy.ClusterIP {
		if at := p.at(t.Original); p.available(at) {
			return at
		}
		return nil
	}
	if len(t.Avoid) == 0 || !p.hasUntried(t.Avoid) {
		return p.balance(nil)
	}
	return p.balance(t.Avoid)
}

func (p *Pool) hasUntried(avoid []netip.AddrPort) bool {
	if len(avoid) < len(p.endpoints) {
		return true
	}
	return slices.ContainsFunc(p.endpoints, func(e *endpoint) bool { return !slices.Contains(avoid, e.addr) })
}

// balance chooses among the available endpoints that are not in avoid.
func (p *Pool) balance(avoid []netip.AddrPort) *endpoint {
	if p.idle > 0 && p.limits.MaxConnections > 0 && p.open >= p.limits.MaxConnections {
		// A new connection would cost another endpoint an idle one: use what is there.
		if at := p.anyIdle(avoid); at != nil {
			return at
		}
	}
	switch p.balancing {
	case policy.RoundRobin:
		p.cursor++
		return p.scan(p.cursor, avoid)
	case policy.RandomEndpoint:
		return p.scan(p.random(), avoid)
	case policy.LeastRequest, policy.ClusterIP:
	}
	return p.leastRequest(avoid)
}

// leastRequest takes the less busy of two endpoints drawn at random: nearly as good as the least busy of all, without herds.
func (p *Pool) leastRequest(avoid []netip.AddrPort) *endpoint {
	n := uint64(len(p.endpoints))
	if n == 1 {
		return p.scan(0, avoid)
	}
	r := p.random()
	i := (r >> 32) % n
	j := (i + 1 + (r&0xffffffff)%(n-1)) % n
	a, b := p.endpoints[i], p.endpoints[j]
	okA, okB := p.usable(a, avoid), p.usable(b, avoid)
	switch {
	case okA && okB && b.active < a.active:
		return b
	case okA:
		return a
	case okB:
		return b
	}
	return p.scan(r, avoid)
}

func (p *Pool) anyIdle(avoid []netip.AddrPort) *endpoint {
	for _, at := range p.endpoints {
		if len(at.idle) > 0 && !slices.Contains(avoid, at.addr) {
			return at
		}
	}
	return nil
}

// scan returns the first usable endpoint from start on.
func (p *Pool) scan(start uint64, avoid []netip.AddrPort) *endpoint {
	n := uint64(len(p.endpoints))
	for i := range n {
		if at := p.endpoints[(start%n+i)%n]; p.usable(at, avoid) {
			return at
		}
	}
	return nil
}

func (p *Pool) usable(at *endpoint, avoid []netip.AddrPort) bool {
	return !slices.Contains(avoid, at.addr) && p.available(at)
}

// at returns the endpoint of an address, one that is not among the destination's own included: its entry lasts as long as it
// has connections, and a sweep longer.
func (p *Pool) at(addr netip.AddrPort) *endpoint {
	if p.last != nil && p.last.addr == addr {
		return p.last
	}
	at := p.byAddr[addr]
	if at == nil {
		at = &endpoint{addr: addr}
		p.byAddr[addr] = at
	}
	p.last = at
	return at
}

// mostIdle returns the endpoint with the most idle connections. There is at least one: it is asked only when the pool is full
// and somebody was found a place.
func (p *Pool) mostIdle() *endpoint {
	var most *endpoint
	for _, at := range p.byAddr {
		if most == nil || len(at.idle) > len(most.idle) {
			most = at
		}
	}
	return most
}
