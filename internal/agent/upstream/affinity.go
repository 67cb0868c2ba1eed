package upstream

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"sync"
	"time"
)

// Affinity is the endpoint that a pod keeps of one Service port, in each address family: the Service's sessionAffinity. The pools of all
// bindings to that port share it. Times are given by callers and compared by their monotonic reading.
//
// An endpoint is kept until no call has gone there for the timeout, or until it is none of the Service's any more. The first one is the one
// with the highest rank, which depends on nothing but pod, Service and address: an agent that starts again picks the same.
type Affinity struct {
	seed uint64 // immutable

	mu   sync.Mutex
	kept [families]keptEndpoint // guarded by mu
}

type keptEndpoint struct {
	addr netip.AddrPort
	last time.Time // when a call went there last
	// timeout is how long it was to be kept from then on
	timeout time.Duration
}

// NewAffinity returns the affinity of a pod to a Service port, to which no call has gone yet.
func NewAffinity(podUID, destination string) *Affinity {
	h := fnv.New64a()
	_, _ = h.Write([]byte(podUID))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(destination))
	return &Affinity{seed: h.Sum64()}
}

// endpoint returns the endpoint that is kept, or the zero value.
func (a *Affinity) endpoint(family int, now time.Time, timeout time.Duration) netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := &a.kept[family]; !k.last.IsZero() && now.Sub(k.last) < timeout {
		return k.addr
	}
	return netip.AddrPort{}
}

// keep notes that a call goes to an endpoint, or that one that is kept is still wanted.
func (a *Affinity) keep(family int, addr netip.AddrPort, now time.Time, timeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept[family] = keptEndpoint{addr, now, timeout}
}

// Keeps reports whether there is an endpoint that is still to be kept.
func (a *Affinity) Keeps(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kept {
		if !k.last.IsZero() && now.Sub(k.last) < k.timeout {
			return true
		}
	}
	return false
}

// rank orders endpoints. It spreads pods evenly, and an endpoint that comes or goes changes the order of no others.
func (a *Affinity) rank(addr netip.AddrPort) uint64 {
	b := addr.Addr().As16()
	x := a.seed
	for _, word := range [...]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint64(addr.Port())} {
		x = mix(x ^ word)
	}
	return x
}

// mix is the finalizer of SplitMix64: every bit of the result depends on every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// highest returns the host with the highest rank of those that will do, or nil.
func (a *Affinity) highest(hosts []*Host, do func(*Host) bool) (best *Host) {
	rank := uint64(0)
	for _, h := range hosts {
		if r := a.rank(h.addr); (best == nil || r > rank) && do(h) {
			best, rank = h, r
		}
	}
	return best
}

// keptHost has a pod keep its host. A call that may not go there, because it has been there already or because the host cannot be connected
// to, goes to another one without changing that; a host that departs, or is ejected, is replaced.
type keptHost struct{ timeout time.Duration }

func (k keptHost) pick(c *candidates) *hostConns {
	a := c.pool.affinity
	kept := c.pool.set.byAddr[a.endpoint(c.family, c.now, k.timeout)]
	if kept == nil {
		hc := k.pickByRank(c)
		if hc != nil {
			a.keep(c.family, hc.host.addr, c.now, k.timeout)
		}
		return hc
	}
	a.keep(c.family, kept.addr, c.now, k.timeout)
	if c.allows(kept, c.pool.conns(kept)) {
		return c.admit(kept) // or nil: a host at its limit is waited for
	}
	hc := k.pickByRank(c)
	if hc != nil && c.differ && c.isOut(kept, c.pool.conns(kept)) {
		a.keep(c.family, hc.host.addr, c.now, k.timeout)
	}
	return hc
}

// pickByRank admits the host with the highest rank that can be.
func (keptHost) pickByRank(c *candidates) *hostConns {
	if h := c.pool.affinity.highest(c.hosts, c.admits); h != nil {
		return c.admit(h)
	}
	return nil
}

// KeepHost returns where a connection to an address of the Service has to go that is made outside of the pool, and keeps that host; ok is
// false where pods do not keep hosts.
func (p *Pool) KeepHost(now time.Time, original netip.AddrPort) (to netip.AddrPort, ok bool) {
	set, f := p.cluster.hosts.Load(), familyOf(original.Addr())
	picker, ok := set.picker.(keptHost)
	if !ok || len(set.byFamily[f]) == 0 {
		return to, false
	}
	h := set.byAddr[p.affinity.endpoint(f, now, picker.timeout)]
	if h == nil {
		h = p.affinity.highest(set.byFamily[f], func(*Host) bool { return true })
	}
	p.affinity.keep(f, h.addr, now, picker.timeout)
	return h.addr, true
}
