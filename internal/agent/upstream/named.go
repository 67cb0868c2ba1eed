package upstream

import (
	"net/netip"
	"slices"
	"time"
)

// Name is what is known of the addresses of a host name.
type Name struct {
	// Addrs are the addresses, each once; their port is that of a proxy, and of no meaning otherwise: each request has its own. They must
	// not be changed any more.
	Addrs []netip.AddrPort
	// Until is until when they may be used.
	Until time.Time
	// Exact says that the policy names this very host. If it is one of many that a pattern matches, its name is the client's word alone:
	// then the address that the client has chosen must be one of the name's.
	Exact bool
}

// nameSet is a Name by families. It is immutable.
type nameSet struct {
	Name
	byFamily [families][]netip.AddrPort
}

// SetName says which addresses the host name has that stands for the cluster.
func (c *Cluster) SetName(n Name) {
	set := &nameSet{Name: n}
	for _, a := range n.Addrs {
		f := familyOf(a.Addr())
		set.byFamily[f] = append(set.byFamily[f], a)
	}
	c.change(func(old *HostSet) *HostSet {
		next := *old
		next.name = set
		return &next
	})
}

// KnowsName reports whether SetName has said something that holds.
func (c *Cluster) KnowsName(now time.Time) bool { return c.hosts.Load().name.holds(now) }

// HasAddresses reports whether SetName has ever said an address.
func (c *Cluster) HasAddresses() bool {
	n := c.hosts.Load().name
	return n != nil && len(n.Addrs) > 0
}

// holds reports whether the addresses are known and may be used. n may be nil.
func (n *nameSet) holds(now time.Time) bool { return n != nil && now.Before(n.Until) }

// isNamed reports whether a request may go to another address of the name that stands for the cluster. It expects the lock.
func (p *Pool) isNamed(r *Request, now time.Time) bool { return r.Pinned && p.set.name.holds(now) }

// chooseNamed picks the address for a pinned request: the one that the client chose if it will do, and another one of the name otherwise.
// It expects the lock, and returns nil when the address is at its limit.
func (p *Pool) chooseNamed(now time.Time, r *Request) *hostConns {
	hc := p.at(p.addressFor(now, r))
	if !p.available(hc, r.Fresh, r.Multiplexed) {
		return nil
	}
	p.takePermit(now, r, hc)
	p.noteTrial(hc, now)
	return hc
}

func (p *Pool) addressFor(now time.Time, r *Request) netip.AddrPort {
	down := func(a netip.AddrPort) bool { hc := p.unlisted[a]; return hc != nil && hc.isDown(now) }
	untried := func(a netip.AddrPort) bool { return !slices.Contains(r.Avoid, a) }
	able := func(a netip.AddrPort) bool { return !down(a) }
	both := func(a netip.AddrPort) bool { return untried(a) && !down(a) }
	wishes := []func(netip.AddrPort) bool{both, able, untried}
	if r.Endpoints.Differ(now) {
		chance := 0.0
		if len(r.Avoid) == 0 {
			chance = p.chance()
		}
		in := func(a netip.AddrPort) bool { return !p.outNamed(now, r, chance, a) }
		wishes = []func(netip.AddrPort) bool{
			func(a netip.AddrPort) bool { return both(a) && in(a) }, func(a netip.AddrPort) bool { return able(a) && in(a) }, both, able, untried,
		}
	}
	for _, will := range wishes {
		if will(r.Original) {
			return r.Original
		}
		if a, ok := p.set.name.other(r, p.random(), will); ok {
			return a
		}
	}
	return r.Original
}

// other returns an address that will do in the place of the one that the client chose. Those of the family that was not tried last come
// first, as in RFC 8305 section 4: what is wrong may be wrong with the family. Within a family any one is as good as another.
func (n *nameSet) other(r *Request, random uint64, will func(netip.AddrPort) bool) (netip.AddrPort, bool) {
	last := r.Original
	if len(r.Avoid) > 0 {
		last = r.Avoid[len(r.Avoid)-1]
	}
	f := familyOf(last.Addr())
	for _, of := range [...][]netip.AddrPort{n.byFamily[1-f], n.byFamily[f]} {
		for i := range of {
			a := netip.AddrPortFrom(of[(random%uint64(len(of))+uint64(i))%uint64(len(of))].Addr(), r.Original.Port())
			if a != r.Original && n.mayReplace(r.Original.Addr(), a.Addr()) && will(a) {
				return a, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// mayReplace reports whether an address of the name may be called in the place of the one that the client chose.
//
// If that is one of the name's, the other one must be callable from as far away, or further: whoever owns a name decides its addresses,
// and must not lead calls that go outside to what is inside. If it is not (the DNS has changed, or the pod knows the name by its
// hosts file), the policy must name the host exactly, and the other one must be as near or far: the double of a server inside is never
// replaced by the real one outside. Addresses of a machine itself are no name's to give, and nothing replaces one that was called.
func (n *nameSet) mayReplace(chosen, other netip.Addr) bool {
	from, to := reachOf(chosen), reachOf(other)
	switch {
	case from == own || to == own:
		return false
	case slices.ContainsFunc(n.Addrs, func(a netip.AddrPort) bool { return a.Addr() == chosen }):
		return to >= from
	}
	return n.Exact && to == from
}

// chooseByName picks an address of the name that calls go to, which is that of the proxy if there is one: one that can be connected to and was not
// tried, if there is one. It expects the lock, and returns nil when the address is at its limit, or none is known, which whoever asks has seen to.
func (p *Pool) chooseByName(now time.Time, r *Request) *hostConns {
	n := p.set.name
	if n == nil || len(n.Addrs) == 0 {
		return nil
	}
	down := func(a netip.AddrPort) bool { hc := p.unlisted[a]; return hc != nil && hc.isDown(now) }
	untried := func(a netip.AddrPort) bool { return !slices.Contains(r.Avoid, a) }
	start := int(p.random() % uint64(len(n.Addrs)))
	to := n.Addrs[start]
	for _, will := range [...]func(netip.AddrPort) bool{
		untried,
		func(a netip.AddrPort) bool { return !down(a) },
		func(a netip.AddrPort) bool { return untried(a) && !down(a) },
	} {
		for i := range n.Addrs {
			if a := n.Addrs[(start+i)%len(n.Addrs)]; will(a) {
				to = a
				break
			}
		}
	}
	hc := p.at(to)
	if !p.available(hc, r.Fresh, r.Multiplexed) {
		return nil
	}
	p.noteTrial(hc, now)
	return hc
}
