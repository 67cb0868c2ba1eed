package intent

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// Claim is what some policies have redirected.
type Claim struct {
	// Redirect is in normal form.
	Redirect Redirect
	Policies []policy.ID
	// ByHost: the host of a request decides whether the policies govern it; otherwise the following claims may.
	ByHost bool
}

// Claims are all claims on a pod's connections, in order of precedence.
type Claims []Claim

// Governing names the policies that a connection to an address would come under, sorted. Whether a policy for a host would govern it
// cannot be known from the address, so it counts, and so does what comes after it.
func (c Claims) Governing(to netip.AddrPort) []policy.ID {
	var ids []policy.ID
	for i := range c {
		if !c[i].Redirect.Covers(to) {
			continue
		}
		ids = append(ids, c[i].Policies...)
		if !c[i].ByHost {
			break
		}
	}
	return SortedIDs(ids)
}

// MeetingQUIC names the policies that govern calls which could also be made over QUIC, sorted.
func (c Claims) MeetingQUIC() []policy.ID {
	var ids []policy.ID
	for i := range c {
		if c[i].Redirect.MayMeetQUIC() {
			ids = append(ids, c[i].Policies...)
		}
	}
	return SortedIDs(ids)
}

// SortedIDs sorts ids, and leaves each but once.
func SortedIDs(ids []policy.ID) []policy.ID {
	slices.SortFunc(ids, func(a, b policy.ID) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(ids)
}
