package upstream

import (
	"net/netip"
	"time"
)

// choose picks the host for a request, or nil when the one that must be used, or every one that may be, is at its limit. fresh says
// that a new connection to it is wanted. All functions of this file expect the lock.
func (p *Pool) choose(now time.Time, r *Request) (hc *hostConns, fresh bool) {
	if p.byName {
		return p.chooseByName(now, r), r.Fresh
	}
	f := p.family(r)
	hosts := p.set.byFamily[f]
	if p.wantsOriginal(r, f) {
		if p.isNamed(r, now) {
			return p.chooseNamed(now, r), r.Fresh
		}
		fresh = r.freshAtOriginal()
		if hc := p.at(r.Original); p.available(hc, fresh, r.Multiplexed) {
			if r.Pinned && len(p.set.endpoints) == 0 { // else it may not be avoided, so that what becomes of the call is not held against it
				p.takePermit(now, r, hc)
			}
			return hc, fresh
		}
		return nil, fresh
	}
	c := &p.candidates
	c.hosts, c.family, c.cursor, c.now, c.fresh, c.multiplexed, c.ready = hosts, f, &p.cursor[f], now, r.Fresh, r.Multiplexed, false
	c.request = r
	_, keeps := p.set.picker.(keptHost)
	for range draws {
		c.judge(keeps)
		c.narrow(r.Avoid)
		if hc := p.chooseAmong(c, keeps); hc != nil || !c.lost {
			return hc, r.Fresh
		}
	}
	c.differ = false
	c.narrow(r.Avoid)
	return p.chooseAmong(c, keeps), r.Fresh
}

// chooseAmong picks one of the candidates; keeps says that the pod keeps its host.
func (p *Pool) chooseAmong(c *candidates, keeps bool) *hostConns {
	if !keeps && p.poolFull() && (p.idle > 0 || p.shared > 0) {
		// A new connection would cost another host an idle one: use what is there, unless the pod keeps its host.
		c.ready = true
		if hc := c.admitFreed(); hc != nil {
			return hc
		}
		if hc := p.set.picker.pick(c); hc != nil {
			return hc
		}
		c.ready = false
	}
	if !keeps && p.onlyFreed {
		return c.admitFreed()
	}
	return p.set.picker.pick(c)
}

// wantsOriginal reports whether only the address that the client called will do.
func (p *Pool) wantsOriginal(r *Request, family int) bool {
	return r.Pinned || len(p.set.byFamily[family]) == 0 || p.set.picker == nil
}

// freshAtOriginal reports whether a request that goes where the client called wants a new connection: behind a cluster IP that is the only
// way to another endpoint, though it may lead to the same one.
func (r *Request) freshAtOriginal() bool { return r.Fresh || !r.Pinned && len(r.Avoid) > 0 }

// family returns the family that a client called: an endpoint of the other one is no substitute, for the client has chosen, and
// handles it when none of that family answers.
func (p *Pool) family(r *Request) int {
	switch {
	case r.Original.IsValid():
		return familyOf(r.Original.Addr())
	case len(p.set.byFamily[0]) == 0:
		return 1
	}
	return 0
}

// at returns the pool's connections to an address, which need not be one of the cluster's hosts.
func (p *Pool) at(addr netip.AddrPort) *hostConns {
	if p.last != nil && p.last.host.addr == addr {
		return p.last
	}
	if h := p.set.byAddr[addr]; h != nil {
		if p.last = p.conns(h); p.last == nil {
			p.last = p.addListed(h)
		}
		return p.last
	}
	if p.last = p.unlisted[addr]; p.last == nil {
		p.last = p.addUnlisted(addr)
	}
	return p.last
}
