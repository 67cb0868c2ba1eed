package routes

import (
	"net/netip"
	"slices"
)

// The families in which the node translates the addresses of Services, as bits.
const (
	translates4 = 1 << iota
	translates6
)

// SetTranslated says in which address families the node translates the addresses of Services when sockets connect, so that captured
// connections have those of endpoints. It holds for connections that come from then on.
//
// Where it does, nothing but the request tells a call to a Service from a call to one of its endpoints that the client chose itself, as
// clients of headless Services, scrapers and load balancers do: a call that names the Service as its host is a call to the Service, and any
// other one goes where it is going.
func (s *Table) SetTranslated(four, six bool) {
	var families uint32
	if four {
		families |= translates4
	}
	if six {
		families |= translates6
	}
	s.translated.Store(families)
}

// translates reports whether the node translates Services' addresses of the family of a.
func (s *Table) translates(a netip.Addr) bool {
	if a.Is4() {
		return s.translated.Load()&translates4 != 0
	}
	return s.translated.Load()&translates6 != 0
}

// hasAddress reports whether the binding's Service has a cluster IP of the family of a.
func (b *Binding) hasAddress(a netip.Addr) bool {
	return slices.ContainsFunc(b.clusterIPs, func(ip netip.Addr) bool { return ip.Is4() == a.Is4() })
}

// named reports whether a host, given as AppendHost leaves it, is the binding's Service.
func (b *Binding) named(host []byte) bool {
	if slices.ContainsFunc(b.hostnames, func(name string) bool { return name == string(host) }) {
		return true
	}
	a, err := netip.ParseAddr(string(host))
	return err == nil && slices.Contains(b.clusterIPs, a)
}

// DependsOnHost reports whether what becomes of a request depends on the host that it names.
func (c *Candidate) DependsOnHost() bool { return c.NeedsHost() || c.unlessNamed }

// PinnedFor reports whether a request for a host, given as AppendHost leaves it, goes to the address that the connection is for.
func (c *Candidate) PinnedFor(host []byte) bool { return c.Pinned && !(c.unlessNamed && c.named(host)) }
