package intent

import (
	"net/netip"
	"slices"
)

// LinkLocal6 are addresses of IPv6 that are never redirected: without knowing the interface nobody could dial them on the pod's behalf.
var LinkLocal6 = netip.MustParsePrefix("fe80::/10")

// Covers reports whether the normal form r captures connections to an address while the agent is there, as far as that depends on the address.
func (r Redirect) Covers(to netip.AddrPort) bool {
	if a := to.Addr(); a.IsLoopback() || LinkLocal6.Contains(a) {
		return false
	}
	if r.All {
		return true
	}
	if _, found := slices.BinarySearchFunc(r.Addrs, to, netip.AddrPort.Compare); found {
		return true
	}
	if _, found := slices.BinarySearch(r.Ports, to.Port()); found {
		return true
	}
	return slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.covers(to) })
}

func (b Block) covers(to netip.AddrPort) bool {
	within := func(p netip.Prefix) bool { return p.Contains(to.Addr()) }
	return within(b.Prefix) && !slices.ContainsFunc(b.Except, within) && (len(b.Ports) == 0 || slices.Contains(b.Ports, to.Port()))
}
