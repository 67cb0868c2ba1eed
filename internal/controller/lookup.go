package controller

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// serviceIndex is the cache's index of EndpointSlices by the name of their Service.
const serviceIndex = "service"

// indexSlice returns the Service an EndpointSlice belongs to.
func indexSlice(obj client.Object) []string {
	if name := obj.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
		return []string{name}
	}
	return nil
}

// clusterLookup looks Services and their endpoints up in the cache, which is in memory and does not block.
type clusterLookup struct {
	reader client.Reader
	domain string // of the cluster's DNS
}

var _ index.ClusterLookup = (*clusterLookup)(nil)

// Service implements index.ClusterLookup.
func (c *clusterLookup) Service(name string) (*compile.Service, bool) {
	svc, ok := c.service(name)
	if !ok {
		return nil, false
	}
	out := &compile.Service{External: svc.Spec.Type == corev1.ServiceTypeExternalName, ClusterPicks: clusterPicks(svc)}
	for _, p := range svc.Spec.Ports {
		if isTCP(p.Protocol) {
			out.Ports = append(out.Ports, compile.ServicePort{Name: p.Name, Port: uint16(p.Port)})
		}
	}
	return out, true
}

// Destination implements index.ClusterLookup.
func (c *clusterLookup) Destination(name string) (*policy.Destination, bool) {
	svc, ok := c.service(name)
	if !ok {
		return nil, false
	}
	var list discoveryv1.EndpointSliceList
	// The cache is in memory and has synced: an error here means that the process is ending.
	if err := c.reader.List(context.Background(), &list, client.InNamespace(svc.Namespace), client.MatchingFields{serviceIndex: svc.Name}); err != nil {
		return nil, false
	}
	d := &policy.Destination{Name: name, ClusterIPs: clusterIPs(svc), Hostnames: hostnames(svc, c.domain)}
	for _, p := range svc.Spec.Ports {
		if isTCP(p.Protocol) {
			d.Ports = append(d.Ports, policy.DestinationPort{Port: uint16(p.Port), Name: p.Name, Endpoints: endpoints(list.Items, p.Name)})
		}
	}
	return d, true
}

func (c *clusterLookup) service(name string) (*corev1.Service, bool) {
	namespace, base, _ := strings.Cut(name, "/")
	svc := &corev1.Service{}
	if err := c.reader.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: base}, svc); err != nil {
		return nil, false
	}
	return svc, true
}

// topologyModes are the annotations that ask for topology aware routing; every value but Disabled means that the cluster may route so.
var topologyModes = []string{corev1.AnnotationTopologyMode, corev1.DeprecatedAnnotationTopologyAwareHints}

// clusterPicks returns why only the cluster can pick an endpoint as the Service asks, "" if it asks nothing. A Service without an address of
// its own has nobody in the cluster who picks.
func clusterPicks(svc *corev1.Service) string {
	if len(clusterIPs(svc)) == 0 {
		return ""
	}
	if svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		return v1alpha1.ReasonServiceAffinity
	}
	if p := svc.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		return v1alpha1.ReasonServiceTrafficPolicy
	}
	if d := svc.Spec.TrafficDistribution; d != nil && *d != "" {
		return v1alpha1.ReasonServiceTrafficDistribution
	}
	for _, name := range topologyModes {
		if mode := svc.Annotations[name]; mode != "" && !strings.EqualFold(mode, "disabled") {
			return v1alpha1.ReasonServiceTrafficDistribution
		}
	}
	return ""
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

// endpoints lists the addresses behind the port of that name, of both families, sorted: those that are ready or, in a family that has none,
// those that still serve while they end, as kube-proxy does.
func endpoints(list []discoveryv1.EndpointSlice, port string) []netip.AddrPort {
	var ready, ending []netip.AddrPort
	for i := range list {
		number, ok := portNumber(&list[i], port)
		if !ok {
			continue
		}
		for j := range list[i].Endpoints {
			e := &list[i].Endpoints[j]
			a, ok := addressOf(e)
			switch {
			case !ok:
			case ptr.Deref(e.Conditions.Ready, true): // nil means that nobody knows better
				ready = append(ready, netip.AddrPortFrom(a, number))
			case ptr.Deref(e.Conditions.Terminating, false) && ptr.Deref(e.Conditions.Serving, false):
				ending = append(ending, netip.AddrPortFrom(a, number))
			}
		}
	}
	out := ready
	for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		if !slices.ContainsFunc(ready, func(a netip.AddrPort) bool { return is(a.Addr()) }) {
			for _, a := range ending {
				if is(a.Addr()) {
					out = append(out, a)
				}
			}
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
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
