package upstream

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// hostConns are a pool's connections to one host. It is guarded by the pool's lock.
type hostConns struct {
	// immutable
	host *Host
	// listed: the host is one of the cluster's, not an address that a client has named.
	listed bool

	// atomic
	unreachable atomic.Bool // there is an outage

	idle         []*Conn        // without an exchange, newest last
	shared       []*Conn        // with exchanges, and room for more
	full         []*Conn        // multiplexed ones with exchanges and no room
	barred       int            // multiplexed ones, idle or not, whose servers allow no exchange for the time being
	index        int            // in Pool.withIdle, which holds it while it has idle connections
	pendingDials []*pendingDial // connections being made that can be waited for
	open         int            // connections, those being dialled included
	streams      int            // as the last connection's SetCapacity said; 0: there was none
	outage       outage
	// endpoint is what was looked up last of who judges endpoints; nil: nothing was
	endpoint *resilience.Endpoint
	judge    *resilience.Endpoints
}

// hasReady reports whether a connection is there already.
func (hc *hostConns) hasReady(multiplexed bool) bool {
	return hc != nil && (multiplexed && len(hc.shared) > 0 || slices.ContainsFunc(hc.idle, func(c *Conn) bool { return c.serves(multiplexed) }))
}

// serves reports whether an idle connection is of a kind, and takes an exchange.
func (c *Conn) serves(multiplexed bool) bool { return c.multiplexed == multiplexed && c.capacity > 0 }

// conns returns the connections to one of the cluster's hosts; nil: the pool has never used it. All functions of this file expect the
// lock.
func (p *Pool) conns(h *Host) *hostConns {
	if h.id < len(p.listed) {
		if hc := p.listed[h.id]; hc != nil && hc.host == h {
			return hc
		}
	}
	return nil
}

// addListed takes one of the cluster's hosts into use.
func (p *Pool) addListed(h *Host) *hostConns {
	if n := h.id + 1; n > len(p.listed) {
		p.listed = slices.Grow(p.listed, n-len(p.listed))[:n]
	}
	if p.listed[h.id] == nil {
		p.known++
	}
	p.listed[h.id] = &hostConns{host: h, listed: true}
	return p.listed[h.id]
}

// addUnlisted adds an address that is not one of the cluster's hosts. It is kept until the first sweep after its last connection has
// closed.
func (p *Pool) addUnlisted(addr netip.AddrPort) *hostConns {
	hc := &hostConns{host: &Host{addr: addr}}
	p.unlisted[addr] = hc
	return hc
}

// sync takes note of the cluster's present hosts and returns the idle connections to those that are gone. Connections in use keep their
// hostConns: should the address come back meanwhile, they count against the old host and are closed when they end. What sync costs
// grows with the hosts that have idle connections, not with the hosts there are.
func (p *Pool) sync() (closing []*Conn) {
	set := p.cluster.hosts.Load()
	if set == p.set {
		return nil
	}
	moved := p.set.callsOriginal() != set.callsOriginal()
	p.set, p.last, p.changed = set, nil, true
	if moved {
		p.waiting.regroup(p.wantOf)
	}
	for addr, hc := range p.unlisted {
		if set.byAddr[addr] != nil { // has become one of the cluster's
			hc.host.departed.Store(true)
			delete(p.unlisted, addr)
		}
	}
	for i := len(p.withIdle) - 1; i >= 0; i-- { // one that is taken out is replaced by one that was seen already
		if hc := p.withIdle[i]; hc.host.departed.Load() {
			closing = p.evictOldest(hc, len(hc.idle), closing)
		}
	}
	p.down = slices.DeleteFunc(p.down, func(hc *hostConns) bool { return hc.host.departed.Load() })
	p.forgetDeparted()
	return closing
}

// forgetDeparted drops the hosts that are gone when they are more than those that are left.
func (p *Pool) forgetDeparted() {
	if p.known <= 2*len(p.set.byAddr)+16 {
		return
	}
	end := 0
	p.known = 0
	for i, hc := range p.listed {
		switch {
		case hc == nil:
		case hc.host.departed.Load():
			p.listed[i] = nil
		default:
			p.known++
			end = i + 1
		}
	}
	p.listed = slices.Clip(slices.Clone(p.listed[:end]))
}
