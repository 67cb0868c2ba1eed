package upstream

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Cluster is one destination of one binding, for all pods of the node.
type Cluster struct {
	hosts atomic.Pointer[HostSet]

	mu sync.Mutex // is taken while a pool's lock is held, never the other way around
	// guarded by mu
	nextID  int
	freeIDs []int
	waiting map[*Pool]struct{} // pools in which requests are parked
}

// NewCluster returns a cluster of endpoints, which the caller must not change any more.
func NewCluster(balancing Balancing, endpoints []netip.AddrPort) *Cluster {
	c := &Cluster{waiting: map[*Pool]struct{}{}}
	c.hosts.Store((&HostSet{}).balancedAs(balancing))
	c.Update(balancing, endpoints)
	return c
}

// Update replaces the endpoints, which the caller must not change any more, and the way of choosing among them. Acquire goes by them as
// soon as Update returns. Calls under way to an endpoint that is gone go on; pools close their idle connections to it when they are used
// next, or within a second. Pools themselves are not touched, except where requests are parked: they may be served now.
func (c *Cluster) Update(balancing Balancing, endpoints []netip.AddrPort) {
	c.change(func(old *HostSet) *HostSet {
		switch same := sameEndpoints(old.endpoints, endpoints); {
		case same && old.balancing == balancing:
			return old
		case same:
			return old.balancedAs(balancing)
		}
		return c.replace(old, endpoints).balancedAs(balancing)
	})
}

// change puts another set in force, which to makes of the one before, and has the pools try again in which requests are parked. If it is the same one
// nothing happens.
func (c *Cluster) change(to func(old *HostSet) *HostSet) {
	for _, p := range c.put(to) {
		p.retryParked()
	}
}

// put puts another set in force, and returns the pools in which requests are parked.
func (c *Cluster) put(to func(old *HostSet) *HostSet) (waiting []*Pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.hosts.Load()
	next := to(old)
	if next == old {
		return nil
	}
	c.hosts.Store(next)
	return c.waitingPools()
}

// replace makes the set of other endpoints. Hosts of which there is one already stay the same; those that are in old alone have
// departed before the new set can be seen: who has seen it finds all of them departed. It expects the lock.
func (c *Cluster) replace(old *HostSet, endpoints []netip.AddrPort) *HostSet {
	next := &HostSet{endpoints: endpoints, byAddr: make(map[netip.AddrPort]*Host, len(endpoints))}
	for _, addr := range endpoints {
		if next.byAddr[addr] != nil {
			continue // named twice
		}
		h := old.byAddr[addr]
		if h == nil {
			h = &Host{addr: addr, id: c.newID()}
		}
		next.byAddr[addr] = h
		f := familyOf(addr.Addr())
		next.byFamily[f] = append(next.byFamily[f], h)
	}
	for addr, h := range old.byAddr {
		if next.byAddr[addr] == nil {
			h.departed.Store(true)
			c.freeIDs = append(c.freeIDs, h.id)
		}
	}
	return next
}

// waitingPools expects the lock.
func (c *Cluster) waitingPools() []*Pool { return slices.Collect(maps.Keys(c.waiting)) }

func (c *Cluster) newID() int {
	if n := len(c.freeIDs); n > 0 {
		id := c.freeIDs[n-1]
		c.freeIDs = c.freeIDs[:n-1]
		return id
	}
	c.nextID++
	return c.nextID - 1
}

// setWaiting notes whether requests are parked in a pool, and returns the hosts there are then: who finds others than it has seen looks
// again, for Update may not have known of it.
func (c *Cluster) setWaiting(p *Pool, waiting bool) *HostSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting {
		c.waiting[p] = struct{}{}
	} else {
		delete(c.waiting, p)
	}
	return c.hosts.Load()
}
