package upstream

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// families are IPv4 and IPv6.
const families = 2

// familyOf returns the place of an address's family.
func familyOf(a netip.Addr) int {
	if a.Is4() || a.Is4In6() {
		return 0
	}
	return 1
}

// draws is how often an endpoint is drawn at random before the first that is fit is taken: those behind unfit ones would have
// their calls too.
const draws = 4

// choice is what an endpoint must be like to be chosen.
type choice struct {
	among []*endpoint
	// avoid lists those that will not do.
	avoid []netip.AddrPort
	// up: it has not lately failed to be connected to.
	up bool
	// idle: a connection is there already.
	idle bool
	// now is set if any endpoint has a health.
	now time.Time
}

// choose picks the endpoint for a ticket, or nil when the one that must be used, or every one that may be, is at its limit.
// fresh says that a new connection to it is wanted. All functions of this file expect the lock.
func (p *Pool) choose(t *Request) (at *endpoint, fresh bool) {
	c := choice{among: p.endpoints[p.family(t)]}
	if t.Pinned || len(c.among) == 0 || p.balancing == policy.ClusterIP {
		// Behind a cluster IP a new connection is the only way to another endpoint, and may lead to the same one.
		fresh = t.Fresh || !t.Pinned && len(t.Avoid) > 0
		if at := p.at(t.Original); p.available(at) {
			return at, fresh
		}
		return nil, fresh
	}
	p.narrow(&c, t.Avoid)
	at = p.balance(&c, p.family(t))
	if at != nil && at.health != nil && at.health.downFor > 0 {
		at.health.downUntil = c.now.Add(at.health.downFor) // one try at a time finds out whether it is back
	}
	return at, t.Fresh
}

// family returns the family that a client called: an endpoint of the other one is no substitute, for the client has chosen, and
// knows what to do when nobody answers there.
func (p *Pool) family(t *Request) int {
	if !t.Original.IsValid() && len(p.endpoints[0]) == 0 {
		return 1
	} else if !t.Original.IsValid() {
		return 0
	}
	return familyOf(t.Original.Addr())
}

// narrow sets what an endpoint must be like: one that can be connected to and was not tried by the call, if there is one; else one
// that can be connected to; else one that was not tried.
func (p *Pool) narrow(c *choice, avoid []netip.AddrPort) {
	if p.unhealthy > 0 {
		c.now = time.Now()
	}
	if p.down == 0 && len(avoid) < len(c.among) {
		c.avoid = avoid
		return
	}
	for _, n := range [...]struct {
		avoid []netip.AddrPort
		up    bool
	}{{avoid, true}, {nil, true}, {avoid, false}} {
		c.avoid, c.up = n.avoid, n.up && p.down > 0
		if slices.ContainsFunc(c.among, c.allows) {
			return
		}
	}
	c.avoid, c.up = nil, false
}

// allows reports whether an endpoint may be chosen, whatever the limits say at the moment.
func (c *choice) allows(at *endpoint) bool {
	return !(c.up && at.isDown(c.now)) && !slices.Contains(c.avoid, at.addr)
}

// fits reports whether an endpoint may be chosen now.
func (p *Pool) fits(at *endpoint, c *choice) bool {
	if c.idle && len(at.idle) == 0 || !p.available(at) {
		return false
	}
	return c.allows(at)
}

// balance chooses among the endpoints as the policy says.
func (p *Pool) balance(c *choice, family int) *endpoint {
	if p.idle > 0 && p.poolFull() {
		// A new connection would cost another endpoint an idle one: use what is there.
		with := *c
		with.idle = true
		if at := p.pick(&with, family); at != nil {
			return at
		}
	}
	return p.pick(c, family)
}

func (p *Pool) pick(c *choice, family int) *endpoint {
	switch p.balancing {
	case policy.RoundRobin:
		return p.scan(c, p.cursor[family]+1, &p.cursor[family])
	case policy.RandomEndpoint:
		return p.pickRandom(c)
	case policy.LeastRequest, policy.ClusterIP:
	}
	return p.leastRequest(c)
}

// pickRandom takes any endpoint that fits.
func (p *Pool) pickRandom(c *choice) *endpoint {
	n := uint64(len(c.among))
	for range draws {
		if at := c.among[p.random()%n]; p.fits(at, c) {
			return at
		}
	}
	return p.scan(c, int(p.random()%n), nil)
}

// leastRequest takes the less busy of two endpoints drawn at random: nearly as good as the least busy of all, without herds.
func (p *Pool) leastRequest(c *choice) *endpoint {
	n := uint64(len(c.among))
	if n == 1 {
		return p.scan(c, 0, nil)
	}
	for range draws {
		r := p.random()
		i := (r >> 32) % n
		j := (i + 1 + (r&0xffffffff)%(n-1)) % n
		a, b := c.among[i], c.among[j]
		okA, okB := p.fits(a, c), p.fits(b, c)
		switch {
		case okA && okB && b.busyness(c.now) < a.busyness(c.now):
			return b
		case okA:
			return a
		case okB:
			return b
		}
	}
	return p.scan(c, int(p.random()%n), nil)
}

// scan returns the first fit endpoint from start on, and notes its place.
func (p *Pool) scan(c *choice, start int, place *int) *endpoint {
	n := len(c.among)
	for i := range n {
		i = (start + i) % n
		if at := c.among[i]; p.fits(at, c) {
			if place != nil {
				*place = i
			}
			return at
		}
	}
	return nil
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
		p.unlisted = append(p.unlisted, at)
	}
	p.last = at
	return at
}
