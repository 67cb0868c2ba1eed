package policy

import (
	"net/netip"
	"slices"
)

// Location is where an agent runs.
type Location struct{ Node, Zone string }

// Usable returns the endpoints of port that calls from a node are spread over, sorted. The rules are those of kube-proxy
// (CategorizeEndpoints in its pkg/proxy/topology.go), which apply to each address family by itself:
//
//   - under LocalOnly the ready endpoints of the node, or, if it has none, those of the node that serve while they terminate;
//   - else the ready endpoints hinted for the node, if every ready endpoint has a hint for nodes and one is for this node;
//   - else the ready endpoints hinted for its zone, if every ready endpoint has a hint for zones and one is for this zone;
//   - else all ready endpoints, or, if there are none, those that serve while they terminate.
func (d *Destination) Usable(port *DestinationPort, at Location) []netip.AddrPort {
	var out []netip.AddrPort
	for _, endpoints := range families(port.Endpoints) {
		before := len(out)
		for _, uses := range d.preferences(endpoints, at) {
			if out = appendMatching(out, endpoints, uses); len(out) > before {
				break
			}
		}
	}
	return out
}

// Serves reports whether Usable has endpoints of the family of ip.
func (d *Destination) Serves(port *DestinationPort, at Location, ip netip.Addr) bool {
	return slices.ContainsFunc(port.Endpoints, func(e Endpoint) bool {
		return e.Addr.Addr().Is4() == ip.Is4() && (!d.LocalOnly || e.on(at.Node))
	})
}

// on reports whether the endpoint runs on a node.
func (e *Endpoint) on(node string) bool { return e.Node != "" && e.Node == node }

// families splits sorted endpoints into those of each family; no part is empty.
func families(endpoints []Endpoint) [][]Endpoint {
	six := slices.IndexFunc(endpoints, func(e Endpoint) bool { return !e.Addr.Addr().Is4() })
	switch {
	case len(endpoints) == 0:
		return nil
	case six <= 0:
		return [][]Endpoint{endpoints}
	}
	return [][]Endpoint{endpoints[:six], endpoints[six:]}
}

// preferences returns which endpoints of one family are used: the first condition that any endpoint meets decides.
func (d *Destination) preferences(endpoints []Endpoint, at Location) []func(*Endpoint) bool {
	if d.LocalOnly {
		return []func(*Endpoint) bool{
			func(e *Endpoint) bool { return !e.Terminating && e.on(at.Node) },
			func(e *Endpoint) bool { return e.Terminating && e.on(at.Node) },
		}
	}
	out := make([]func(*Endpoint) bool, 0, 4)
	if allReady(endpoints, func(e *Endpoint) bool { return len(e.ForNodes) > 0 }) {
		out = append(out, func(e *Endpoint) bool { return !e.Terminating && slices.Contains(e.ForNodes, at.Node) })
	}
	if allReady(endpoints, func(e *Endpoint) bool { return len(e.ForZones) > 0 }) {
		out = append(out, func(e *Endpoint) bool { return !e.Terminating && slices.Contains(e.ForZones, at.Zone) })
	}
	return append(out, func(e *Endpoint) bool { return !e.Terminating }, func(e *Endpoint) bool { return e.Terminating })
}

func allReady(endpoints []Endpoint, has func(*Endpoint) bool) bool {
	for i := range endpoints {
		if e := &endpoints[i]; !e.Terminating && !has(e) {
			return false
		}
	}
	return true
}

func appendMatching(out []netip.AddrPort, endpoints []Endpoint, uses func(*Endpoint) bool) []netip.AddrPort {
	for i := range endpoints {
		if uses(&endpoints[i]) {
			out = append(out, endpoints[i].Addr)
		}
	}
	return out
}
