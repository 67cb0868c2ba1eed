package compile

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"fairlead.dev/fairlead/internal/policy"
)

var (
	yes, no = ptr.To(true), ptr.To(false)
	ready   = discoveryv1.EndpointConditions{Ready: yes, Serving: yes, Terminating: no}
	unready = discoveryv1.EndpointConditions{Ready: no, Serving: no, Terminating: no}
	ending  = discoveryv1.EndpointConditions{Ready: no, Serving: yes, Terminating: yes}
	ended   = discoveryv1.EndpointConditions{Ready: no, Serving: no, Terminating: yes}
)

// serviceWith returns a Service with two ports and a cluster IP of each family, unless spec says otherwise.
func serviceWith(spec corev1.ServiceSpec) *corev1.Service {
	if spec.ClusterIPs == nil {
		spec.ClusterIPs = []string{"10.96.0.1", "fd00::1"}
	}
	if spec.Ports == nil {
		spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "admin", Port: 81, Protocol: corev1.ProtocolTCP}}
	}
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: spec}
}

// sliceOf returns a slice with endpoints behind the port named http.
func sliceOf(endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{Endpoints: endpoints, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}}
}

func described(address string, c discoveryv1.EndpointConditions, node string, hints *discoveryv1.EndpointHints) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c, NodeName: &node, Hints: hints}
}

func zones(names ...string) *discoveryv1.EndpointHints {
	h := &discoveryv1.EndpointHints{}
	for _, n := range names {
		h.ForZones = append(h.ForZones, discoveryv1.ForZone{Name: n})
	}
	return h
}

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func TestRule40_WhatAServiceSaysAboutTheChoiceOfItsEndpoints(t *testing.T) {
	local, anywhere := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster
	clientIP := func(seconds *int32) *corev1.SessionAffinityConfig {
		return &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: seconds}}
	}
	headless := []string{corev1.ClusterIPNone}
	for name, tc := range map[string]struct {
		spec      corev1.ServiceSpec
		affinity  time.Duration
		localOnly bool
	}{
		"nothing":                      {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: &anywhere}, 0, false},
		"affinity":                     {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP}, 3 * time.Hour, false},
		"affinity for a time":          {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP, SessionAffinityConfig: clientIP(ptr.To[int32](60))}, time.Minute, false},
		"affinity, no time":            {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP, SessionAffinityConfig: clientIP(nil)}, 3 * time.Hour, false},
		"a time, no affinity":          {corev1.ServiceSpec{SessionAffinityConfig: clientIP(ptr.To[int32](60))}, 0, false},
		"the node's own endpoints":     {corev1.ServiceSpec{InternalTrafficPolicy: &local}, 0, true},
		"both":                         {corev1.ServiceSpec{InternalTrafficPolicy: &local, SessionAffinity: corev1.ServiceAffinityClientIP}, 3 * time.Hour, true},
		"headless: nobody to ask that": {corev1.ServiceSpec{ClusterIPs: headless, InternalTrafficPolicy: &local, SessionAffinity: corev1.ServiceAffinityClientIP}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			svc := serviceWith(tc.spec)
			d := DestinationOf(svc, nil, "cluster.local")
			if d.Affinity != tc.affinity || d.LocalOnly != tc.localOnly {
				t.Errorf("affinity %s, local only %v, want %s, %v", d.Affinity, d.LocalOnly, tc.affinity, tc.localOnly)
			}
			if s := ServiceOf(svc); s.Affinity != (tc.affinity > 0) {
				t.Errorf("compiled with affinity %v", s.Affinity)
			}
		})
	}
}

func TestADestinationHasBothFamiliesAndItsEmptyPorts(t *testing.T) {
	got := DestinationOf(serviceWith(corev1.ServiceSpec{}), []discoveryv1.EndpointSlice{
		sliceOf(described("fd01::1", ready, "n1", nil), described("fd01::2", ready, "n2", nil)), sliceOf(described("10.1.0.1", ready, "n1", nil)),
	}, "cluster.local")
	want := &policy.Destination{
		Name: "shop/api", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
		Hostnames: []string{"api", "api.shop", "api.shop.svc", "api.shop.svc.cluster.local"},
		Ports: []policy.DestinationPort{
			{Port: 80, Name: "http", Endpoints: policy.Ready(netip.MustParseAddrPort("10.1.0.1:8080"),
				netip.MustParseAddrPort("[fd01::1]:8080"), netip.MustParseAddrPort("[fd01::2]:8080"))},
			{Port: 81, Name: "admin"},
		},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Error(diff)
	}
}

// Endpoints that end and still serve are used when there is no other, in each family by itself.
func TestRule40_EndpointsAreThoseThatTheClusterWouldUse(t *testing.T) {
	starting := discoveryv1.EndpointConditions{Ready: no, Serving: yes, Terminating: no} // serving, and neither ready nor ending: not for us
	published := discoveryv1.EndpointConditions{Ready: yes, Serving: no, Terminating: no}
	publishedEnding := discoveryv1.EndpointConditions{Ready: yes, Serving: no, Terminating: yes}
	type at map[string]discoveryv1.EndpointConditions
	for name, tc := range map[string]struct {
		give at
		want []string
	}{
		"ready ones":                                {at{"10.1.0.1": ready, "10.1.0.2": ending, "10.1.0.3": unready}, []string{"10.1.0.1:8080"}},
		"only ending ones":                          {at{"10.1.0.1": ending, "10.1.0.2": ended, "10.1.0.3": unready}, []string{"10.1.0.1:8080 ending"}},
		"ready in one family, ending in both":       {at{"10.1.0.1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.1:8080", "[fd01::2]:8080 ending"}},
		"ready in the other, ending in both":        {at{"fd01::1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.2:8080 ending", "[fd01::1]:8080"}},
		"nobody knows better":                       {at{"10.1.0.1": {}}, []string{"10.1.0.1:8080"}},
		"publishNotReadyAddresses (marks as ready)": {at{"10.1.0.1": published, "10.1.0.2": publishedEnding}, []string{"10.1.0.1:8080", "10.1.0.2:8080"}},
		"none":            {at{"10.1.0.1": unready, "10.1.0.2": ended, "10.1.0.3": starting}, nil},
		"one family only": {at{"fd01::1": ready}, []string{"[fd01::1]:8080"}},
		"a name, which is no address to connect to": {at{"host.example": ready}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var list []discoveryv1.EndpointSlice
			for address, c := range tc.give {
				list = append(list, sliceOf(described(address, c, "n1", nil)))
			}
			if diff := cmp.Diff(tc.want, shownEndpoints(DestinationOf(serviceWith(corev1.ServiceSpec{}), list, ""))); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

// shownEndpoints lists the endpoints of a destination's first port with what is known of them.
func shownEndpoints(d *policy.Destination) []string {
	var out []string
	for _, e := range d.Ports[0].Endpoints {
		s := e.Addr.String()
		if e.Terminating {
			s += " ending"
		}
		if e.Node != "" {
			s += " on " + e.Node
		}
		if len(e.ForNodes) > 0 {
			s += fmt.Sprintf(" for nodes %v", e.ForNodes)
		}
		if len(e.ForZones) > 0 {
			s += fmt.Sprintf(" for zones %v", e.ForZones)
		}
		out = append(out, s)
	}
	return out
}

func TestRule40_EndpointsCarryWhatTheirNodesNeedToKnow(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	nodes := &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: "n1"}}, ForZones: zones("a").ForZones}
	for name, tc := range map[string]struct {
		spec corev1.ServiceSpec
		give []discoveryv1.Endpoint
		want []string
	}{
		"hints": {corev1.ServiceSpec{}, []discoveryv1.Endpoint{described("10.1.0.1", ready, "n1", zones("a", "b")), described("10.1.0.2", ready, "n2", nodes)},
			[]string{"10.1.0.1:8080 for zones [a b]", "10.1.0.2:8080 for nodes [n1] for zones [a]"}},
		"hints of one that ends": {corev1.ServiceSpec{}, []discoveryv1.Endpoint{described("10.1.0.1", ending, "n1", nodes)},
			[]string{"10.1.0.1:8080 ending"}},
		"a headless Service": {corev1.ServiceSpec{ClusterIPs: []string{corev1.ClusterIPNone}, InternalTrafficPolicy: &local},
			[]discoveryv1.Endpoint{described("10.1.0.1", ready, "n1", nodes)}, []string{"10.1.0.1:8080"}},
		"nodes, for local traffic": {corev1.ServiceSpec{InternalTrafficPolicy: &local},
			[]discoveryv1.Endpoint{described("10.1.0.1", ready, "n1", nodes), described("10.1.0.2", ready, "n2", nil)},
			[]string{"10.1.0.1:8080 on n1", "10.1.0.2:8080 on n2"}},
		"ending ones, for local traffic": {corev1.ServiceSpec{InternalTrafficPolicy: &local}, []discoveryv1.Endpoint{
			described("10.1.0.1", ready, "n1", nil), described("10.1.0.2", ending, "n1", nil), described("10.1.0.3", ending, "n2", nil), described("fd01::1", ending, "n1", nil)},
			[]string{"10.1.0.1:8080 on n1", "10.1.0.3:8080 ending on n2", "[fd01::1]:8080 ending on n1"}},
		"an address in two slices, ending in one": {corev1.ServiceSpec{}, []discoveryv1.Endpoint{described("10.1.0.1", ending, "n1", nil), described("10.1.0.1", ready, "n1", nil)},
			[]string{"10.1.0.1:8080"}},
	} {
		t.Run(name, func(t *testing.T) {
			var list []discoveryv1.EndpointSlice
			for _, e := range tc.give {
				list = append(list, sliceOf(e))
			}
			if diff := cmp.Diff(tc.want, shownEndpoints(DestinationOf(serviceWith(tc.spec), list, ""))); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}
