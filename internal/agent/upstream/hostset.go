package upstream

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// families are IPv4 and IPv6.
const families = 2

// familyOf returns the index of an address's family.
func familyOf(a netip.Addr) int {
	if a.Is4() || a.Is4In6() {
		return 0
	}
	return 1
}

// Balancing says how a host is chosen.
type Balancing struct {
	Policy policy.LoadBalancing
	// Affinity is for how long a pod keeps its host after its last call, whatever the policy; 0 is off.
	Affinity time.Duration
}

// HostSet is one version of a cluster: its hosts, and how to choose among them. It is immutable.
type HostSet struct {
	balancing Balancing
	picker    picker           // nil: calls go to the address that the client called
	endpoints []netip.AddrPort // as Cluster.Update had them
	byFamily  [families][]*Host
	byAddr    map[netip.AddrPort]*Host
	// name has the addresses of the host name that stands for the cluster; nil: there is none, or they are not known.
	name *nameSet
}

// callsOriginal reports for each family whether calls go to the address that the client called.
func (s *HostSet) callsOriginal() (does [families]bool) {
	for f, hosts := range s.byFamily {
		does[f] = s.picker == nil || len(hosts) == 0
	}
	return does
}

// sameEndpoints reports whether two lists are equal, at once if they are one.
func sameEndpoints(a, b []netip.AddrPort) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// balancedAs returns the same hosts with another way of choosing among them.
func (s *HostSet) balancedAs(balancing Balancing) *HostSet {
	next := *s
	next.balancing, next.picker = balancing, pickerOf(balancing)
	return &next
}
