package upstream

import "net/netip"

// reach is from where an address can be called.
type reach uint8

const (
	// own: from the very machine or link only, or from nowhere. No name leads there.
	own reach = iota
	// private: from inside the organisation.
	private
	// global: from everywhere.
	global
)

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	reserved    = netip.MustParsePrefix("240.0.0.0/4")   // broadcast included
	thisNet     = netip.MustParsePrefix("0.0.0.0/8")
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	localNat64  = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour   = netip.MustParsePrefix("2002::/16")
	siteLocal   = netip.MustParsePrefix("fec0::/10")
)

// reachOf returns the reach of an address. Those that have an IPv4 address inside, to which they are translated, have that one's.
func reachOf(a netip.Addr) reach {
	a = a.Unmap()
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return reachOf(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return reachOf(netip.AddrFrom4([4]byte(b[2:6])))
	case !a.IsGlobalUnicast(), thisNet.Contains(a), reserved.Contains(a):
		return own
	case a.IsPrivate(), sharedSpace.Contains(a), localNat64.Contains(a), siteLocal.Contains(a):
		return private
	}
	return global
}
