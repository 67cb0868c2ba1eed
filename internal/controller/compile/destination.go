package compile

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"fairlead.dev/fairlead/internal/policy"
)

// defaultAffinity is the timeout of sessionAffinity where the Service writes none: the API server fills in the same.
const defaultAffinity = 3 * time.Hour

// ServiceOf returns what compiling needs to know of a Service.
func ServiceOf(svc *corev1.Service) *Service {
	out := &Service{External: svc.Spec.Type == corev1.ServiceTypeExternalName, Affinity: affinityOf(svc) > 0}
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; isTCP(p.Protocol) {
			out.Ports = append(out.Ports, ServicePort{Name: p.Name, Port: uint16(p.Port)})
		}
	}
	return out
}

// DestinationOf returns a Service with the endpoints in its slices as agents see it. domain is that of the cluster's DNS.
//
// What an agent's node decides is left to the agents, so that all of them share the result; endpoints that no node would use are left out.
// A Service without a cluster IP has nothing that picks endpoints, so what it asks about that has no meaning.
func DestinationOf(svc *corev1.Service, all []discoveryv1.EndpointSlice, domain string) *policy.Destination {
	d := &policy.Destination{
		Name: svc.Namespace + "/" + svc.Name, ClusterIPs: clusterIPs(svc), Hostnames: hostnames(svc, domain),
		Affinity: affinityOf(svc), LocalOnly: localOnly(svc),
	}
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; isTCP(p.Protocol) {
			d.Ports = append(d.Ports, policy.DestinationPort{Port: uint16(p.Port), Name: p.Name, Endpoints: endpointsOf(d, all, p.Name)})
		}
	}
	return d
}

func isTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }

func clusterIPs(svc *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, ip := range svc.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(ip); err == nil { // "None" is no address
			out = append(out, a)
		}
	}
	return out
}

// hostnames lists the names under which a Service can be called.
func hostnames(svc *corev1.Service, domain string) []string {
	full := svc.Name + "." + svc.Namespace
	return []string{svc.Name, full, full + ".svc", full + ".svc." + domain}
}

func affinityOf(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || len(clusterIPs(svc)) == 0 {
		return 0
	}
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && ptr.Deref(c.ClientIP.TimeoutSeconds, 0) > 0 {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return defaultAffinity
}

func localOnly(svc *corev1.Service) bool {
	return ptr.Deref(svc.Spec.InternalTrafficPolicy, "") == corev1.ServiceInternalTrafficPolicyLocal && len(clusterIPs(svc)) > 0
}

// endpointsOf lists the endpoints behind the port of that name, of both families, sorted by address. Terminating ones are among them only
// where a node may use them: in a family without a ready endpoint, or, under LocalOnly, on a node without one.
func endpointsOf(d *policy.Destination, all []discoveryv1.EndpointSlice, port string) []policy.Endpoint {
	var out []policy.Endpoint
	for i := range all {
		number, ok := portNumber(&all[i], port)
		if !ok {
			continue
		}
		for j := range all[i].Endpoints {
			if e, ok := endpointOf(d, &all[i].Endpoints[j], number); ok {
				out = append(out, e)
			}
		}
	}
	// A ready one first: slices may name an address twice while endpoints move between them.
	slices.SortStableFunc(out, func(a, b policy.Endpoint) int {
		if c := a.Addr.Compare(b.Addr); c != 0 || a.Terminating == b.Terminating {
			return c
		} else if a.Terminating {
			return 1
		}
		return -1
	})
	out = slices.CompactFunc(out, func(a, b policy.Endpoint) bool { return a.Addr == b.Addr })
	return withoutUnused(out)
}

// endpointOf translates an endpoint of a slice; ok is false when it serves nobody.
func endpointOf(d *policy.Destination, e *discoveryv1.Endpoint, port uint16) (out policy.Endpoint, ok bool) {
	a, ok := addressOf(e)
	if !ok {
		return out, false
	}
	out.Addr = netip.AddrPortFrom(a, port)
	if !ptr.Deref(e.Conditions.Ready, true) { // nil means that nobody knows better
		if !ptr.Deref(e.Conditions.Terminating, false) || !ptr.Deref(e.Conditions.Serving, false) {
			return out, false
		}
		out.Terminating = true
	}
	switch {
	case d.LocalOnly:
		out.Node = ptr.Deref(e.NodeName, "")
	case len(d.ClusterIPs) > 0 && e.Hints != nil && !out.Terminating:
		for _, h := range e.Hints.ForNodes {
			out.ForNodes = append(out.ForNodes, h.Name)
		}
		for _, h := range e.Hints.ForZones {
			out.ForZones = append(out.ForZones, h.Name)
		}
	}
	return out, true
}

// withoutUnused removes the terminating endpoints that no node uses, because it has a ready one: of its own, under LocalOnly, or of the
// same family. A roll-out changes much less so.
func withoutUnused(list []policy.Endpoint) []policy.Endpoint {
	type scope struct {
		six  bool
		node string
	}
	scopeOf := func(e *policy.Endpoint) scope { return scope{e.Addr.Addr().Is6(), e.Node} }
	ready := map[scope]bool{}
	for i := range list {
		if !list[i].Terminating {
			ready[scopeOf(&list[i])] = true
		}
	}
	return slices.DeleteFunc(list, func(e policy.Endpoint) bool { return e.Terminating && ready[scopeOf(&e)] })
}

// addressOf returns the address of an endpoint: "addresses ... consumers should use only the first" (discovery/v1, EndpointSlice).
func addressOf(e *discoveryv1.Endpoint) (netip.Addr, bool) {
	if len(e.Addresses) == 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(e.Addresses[0])
	return a, err == nil
}

// portNumber returns the number that a Service's port of that name has in a slice.
func portNumber(s *discoveryv1.EndpointSlice, name string) (uint16, bool) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Port != nil && (p.Name == nil && name == "" || p.Name != nil && *p.Name == name) && (p.Protocol == nil || isTCP(*p.Protocol)) {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}
