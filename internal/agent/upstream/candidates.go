package upstream

import (
	"net/netip"
	"slices"
	"time"
)

// candidates are the hosts that a request may go to, and what they must be like. It is part of a pool, guarded by its lock, so that
// choosing does not allocate.
type candidates struct {
	pool   *Pool // immutable
	hosts  []*Host
	family int
	cursor *int // of round robin: the index of the one used last
	now    time.Time
	// avoid lists those that will not do.
	avoid []netip.AddrPort
	// reachable: it is not left out because the pool could not connect to it.
	reachable bool
	// fresh: a connection that is there already will not do.
	fresh bool
	// multiplexed is Request.Multiplexed.
	multiplexed bool
	// ready: a connection is there already.
	ready bool
	// request is what they are for
	request *Request
	// differ: of the request's Endpoints some are out, or are chosen only if their weight is above chance.
	differ bool
	chance float64
	// lost: one that would have done was out by the time it was to be taken.
	lost bool
	// looks counts hosts looked at, for tests of what that costs.
	looks int
}

// admit returns the pool's connections to a host if the request can be served by it now, and nil otherwise. Choosing a host and
// taking its permit are one step: a host that admits a limited number of probes has counted this one.
func (c *candidates) admit(h *Host) *hostConns {
	if !c.admits(h) {
		return nil
	}
	hc := c.pool.conns(h)
	if hc == nil {
		hc = c.pool.addListed(h)
	}
	if !c.pool.takePermit(c.now, c.request, hc) && c.differ {
		c.lost = true
		return nil
	}
	c.pool.noteTrial(hc, c.now)
	return hc
}

// admits reports whether the request can be served by a host now.
func (c *candidates) admits(h *Host) bool {
	c.looks++
	hc := c.pool.conns(h)
	return !(c.ready && !hc.hasReady(c.multiplexed)) && c.pool.available(hc, c.fresh, c.multiplexed) && c.allows(h, hc)
}

// admitFreed admits the host that has become open to parked requests, if there is one and the request can be served by it.
func (c *candidates) admitFreed() *hostConns {
	hc := c.pool.freed
	if hc == nil || !hc.listed || hc.host.departed.Load() || familyOf(hc.host.addr.Addr()) != c.family {
		return nil
	}
	return c.admit(hc.host)
}

// allows reports whether a host may be chosen, whatever the limits say at the moment. hc is nil when the pool has never used it.
func (c *candidates) allows(h *Host, hc *hostConns) bool {
	return !(c.reachable && hc != nil && hc.isDown(c.now)) && !slices.Contains(c.avoid, h.addr) && !(c.differ && c.isOut(h, hc))
}

// firstFrom admits the first host that can be from an index on, and returns it with its index.
func (c *candidates) firstFrom(start int) (*hostConns, int) {
	n := len(c.hosts)
	for i := range n {
		i = (start + i) % n
		if hc := c.admit(c.hosts[i]); hc != nil {
			return hc, i
		}
	}
	return nil, 0
}

// narrow sets what a host must be like: one that can be connected to and was not tried by the call, if there is one; else one that can
// be connected to; else one that was not tried. Whether it is out counts for more than whether it was tried, and for less than whether it can be
// connected to.
func (c *candidates) narrow(avoid []netip.AddrPort) {
	down := len(c.pool.down) > 0
	c.avoid, c.reachable = avoid, down
	if c.differ {
		if c.any() {
			return
		}
		if c.avoid = nil; c.any() {
			return
		}
		c.avoid, c.differ = avoid, false
	}
	if !down && len(avoid) < len(c.hosts) || c.any() {
		return
	}
	if c.avoid = nil; c.any() {
		return
	}
	if c.avoid, c.reachable = avoid, false; c.any() {
		return
	}
	c.avoid = nil
}

// any reports whether there is a host that may be chosen, whatever the limits say.
func (c *candidates) any() bool {
	return slices.ContainsFunc(c.hosts, func(h *Host) bool {
		c.looks++
		return c.allows(h, c.pool.conns(h))
	})
}
