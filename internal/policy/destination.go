package policy

import (
	"net/netip"
	"time"
)

// Destination is a Kubernetes Service as agents see it.
type Destination struct {
	Name       string // "namespace/name"
	ClusterIPs []netip.Addr
	Ports      []DestinationPort
	// Hostnames are the lower-case names under which pods call the Service.
	Hostnames []string
	// Affinity is for how long a pod keeps its endpoint after its last call (sessionAffinity: ClientIP); 0 is off.
	Affinity time.Duration
	// LocalOnly limits each node to the endpoints that run on it (internalTrafficPolicy: Local).
	LocalOnly bool
}

// DestinationPort is one port of a Service and the endpoints behind it, sorted by address, each once.
type DestinationPort struct {
	Port      uint16
	Name      string
	Endpoints []Endpoint
}

// Endpoint is an address behind a port of a Service, with what decides which nodes use it. Endpoints that serve nobody are left out.
type Endpoint struct {
	Addr netip.AddrPort
	// Terminating endpoints still serve while they end. They are used where no ready endpoint is left.
	Terminating bool
	// Node is where the endpoint runs. It is set where Destination.LocalOnly is.
	Node string
	// ForNodes and ForZones are the hints of EndpointSlices: which nodes, and the nodes of which zones, should use the endpoint.
	ForNodes, ForZones []string
}

// Plain reports whether the endpoint is ready and nothing else is known about it.
func (e *Endpoint) Plain() bool {
	return !e.Terminating && e.Node == "" && len(e.ForNodes) == 0 && len(e.ForZones) == 0
}

// Ready returns endpoints that are ready and about which nothing else is known.
func Ready(addrs ...netip.AddrPort) []Endpoint {
	if len(addrs) == 0 {
		return nil
	}
	out := make([]Endpoint, len(addrs))
	for i, a := range addrs {
		out[i].Addr = a
	}
	return out
}
