package upstream

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// An endpoint is ejected for all pods that share its breaker (Request.Endpoints): it is out, and not chosen as long as the pod can connect to one that
// is in. Whoever chooses an endpoint takes the permit of its breaker in the same step, so that no more probes go there than may. All functions of
// this file but Endpoints and TakePermit expect the lock.

// endpointPermit is what a request holds of the breaker of the endpoint that was chosen for it.
type endpointPermit struct {
	breaker *resilience.Breaker
	permit  resilience.Permit
	chosen  bool // an endpoint, since TakePermit
}

// TakePermit passes on the permit that choosing the endpoint has taken, with the breaker that gets it back. It holds nothing where nobody judges the
// endpoint, or it was chosen though it is out, for want of another one. chosen: one was chosen since the last time, which may have happened while the
// connection was made: the permit takes the place of that of the one before.
func (p *Pool) TakePermit(r *Request) (b *resilience.Breaker, permit resilience.Permit, chosen bool) {
	if r.Endpoints == nil {
		return nil, resilience.Permit{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	has := r.permit
	r.permit = endpointPermit{}
	return has.breaker, has.permit, has.chosen
}

// judge says by what endpoints are distinguished. A returning one has less than its share of the calls that are free to go anywhere: not of those that were
// somewhere already, nor of pods that keep their host.
func (c *candidates) judge(keeps bool) {
	c.lost, c.chance = false, 0
	if c.differ = c.request.Endpoints.Differ(c.now); c.differ && !keeps && len(c.request.Avoid) == 0 {
		c.chance = c.pool.chance()
	}
}

// chance draws from [0, 1).
func (p *Pool) chance() float64 { return float64(p.random()>>11) / (1 << 53) }

// isOut reports whether a host is to be left out. hc is nil when the pool has never used it.
func (c *candidates) isOut(h *Host, hc *hostConns) bool {
	ep := c.pool.endpointOf(c.request.Endpoints, h.addr, hc)
	return ep != nil && !ep.Takes(c.now, c.chance)
}

// endpointOf returns what judges an address, or nil.
func (p *Pool) endpointOf(all *resilience.Endpoints, addr netip.AddrPort, hc *hostConns) *resilience.Endpoint {
	if hc == nil {
		return all.Of(addr)
	}
	if hc.judge != all || hc.endpoint == nil || hc.endpoint.Gone() {
		hc.judge, hc.endpoint = all, all.Of(addr)
	}
	return hc.endpoint
}

// takePermit takes the permit for a request to go to a host, and reports whether there is one, or none is needed.
func (p *Pool) takePermit(now time.Time, r *Request, hc *hostConns) bool {
	if r.Endpoints == nil {
		return true
	}
	r.dropPermit()
	r.permit.chosen = true
	ep := p.endpointOf(r.Endpoints, hc.host.addr, hc)
	if ep == nil && !hc.listed {
		ep = r.Endpoints.Join(hc.host.addr)
	}
	if ep == nil {
		return true
	}
	b, permit, ok := ep.Allow(now)
	if ok {
		r.permit.breaker, r.permit.permit = b, permit
	}
	return ok
}

// dropPermit gives the permit back that was not taken over.
func (r *Request) dropPermit() {
	if r.permit.permit.Held() {
		r.permit.breaker.Cancel(r.permit.permit)
	}
	r.permit = endpointPermit{}
}

// moved notes that a request goes to another endpoint than was chosen. What becomes of it there counts for nobody.
func (r *Request) moved() {
	r.dropPermit()
	r.permit.chosen = true
}

// outNamed reports whether an address of the name is to be left out for a request.
func (p *Pool) outNamed(now time.Time, r *Request, chance float64, addr netip.AddrPort) bool {
	ep := r.Endpoints.Of(addr)
	return ep != nil && !ep.Takes(now, chance)
}

// Endpoints returns the addresses that calls may go to, in groups that can stand in for each other: those of each family, or all of the name that the
// cluster stands for, as SetName has them.
func (c *Cluster) Endpoints() (groups [families][]netip.AddrPort, ofName bool) {
	set := c.hosts.Load()
	if set.name != nil && len(set.endpoints) == 0 {
		groups[0] = set.name.Addrs
		return groups, true
	}
	for f, hosts := range set.byFamily {
		for _, h := range hosts {
			groups[f] = append(groups[f], h.addr)
		}
	}
	return groups, false
}
