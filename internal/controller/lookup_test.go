package controller

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func slice(name, service string, kind discoveryv1.AddressType, port int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	portName := "http"
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: kind, Endpoints: endpoints, Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
	}
}

func endpoint(address string, ready *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
}

func TestDestinationOfAService(t *testing.T) {
	yes, no := true, false
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"},
		Spec: corev1.ServiceSpec{
			ClusterIPs: []string{"10.0.0.1", "fd00::1"},
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "idle", Port: 81, Protocol: corev1.ProtocolTCP}},
		},
	}
	headless := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "headless"}, Spec: corev1.ServiceSpec{ClusterIPs: []string{"None"}}}
	elsewhere := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "elsewhere"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}}
	reader := fake.NewClientBuilder().WithObjects(svc, headless, elsewhere,
		slice("a", "api", discoveryv1.AddressTypeIPv4, 8080, endpoint("10.1.0.2", &yes), endpoint("10.1.0.1", nil), endpoint("10.1.0.9", &no)),
		slice("b", "api", discoveryv1.AddressTypeIPv4, 8081, endpoint("10.1.0.1", &yes), endpoint("10.1.0.2", nil)),
		slice("c", "api", discoveryv1.AddressTypeIPv6, 8080, endpoint("fd01::1", &yes)),
		slice("d", "other", discoveryv1.AddressTypeIPv4, 8080, endpoint("10.1.0.3", &yes)),
	).WithIndex(&discoveryv1.EndpointSlice{}, serviceIndex, indexSlice).Build()
	c := &clusterLookup{reader: reader, domain: "cluster.local"}

	got, ok := c.Destination("shop/api")
	want := &policy.Destination{
		Name:       "shop/api",
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		Hostnames:  []string{"api", "api.shop", "api.shop.svc", "api.shop.svc.cluster.local"},
		Ports: []policy.DestinationPort{
			{Port: 80, Name: "http", Endpoints: policy.Ready(
				netip.MustParseAddrPort("10.1.0.1:8080"), netip.MustParseAddrPort("10.1.0.1:8081"),
				netip.MustParseAddrPort("10.1.0.2:8080"), netip.MustParseAddrPort("10.1.0.2:8081"), netip.MustParseAddrPort("[fd01::1]:8080"))},
			{Port: 81, Name: "idle"},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); !ok || diff != "" {
		t.Error(diff)
	}
	if d, ok := c.Destination("shop/headless"); !ok || len(d.ClusterIPs) != 0 {
		t.Errorf("headless: %+v", d)
	}
	if _, ok := c.Destination("shop/gone"); ok {
		t.Error("a Service that is not there was found")
	}
	if s, ok := c.Service("shop/api"); !ok || len(s.Ports) != 2 || s.External {
		t.Errorf("ports that speak TCP: %+v", s)
	}
	if s, ok := c.Service("shop/elsewhere"); !ok || !s.External {
		t.Errorf("ExternalName: %+v", s)
	}
}

// The inventory names the Service of an address that was called: that has it as its cluster IP, or, being headless, has a pod there with that port: at a node's
// address there is much that is of no Service. Pods of other Services are called by themselves.
func TestServiceOfAnAddress(t *testing.T) {
	yes := true
	of := func(name, service string, headless bool, addresses ...string) *discoveryv1.EndpointSlice {
		s := slice(name, service, discoveryv1.AddressTypeIPv4, 5432)
		if headless {
			s.Labels[corev1.IsHeadlessService] = ""
		}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, endpoint(a, &yes))
		}
		kept, err := trimSlice(s) // as the cache has it
		if err != nil {
			t.Fatal(err)
		}
		return kept.(*discoveryv1.EndpointSlice)
	}
	udp, exporter, portless := of("dns-1", "dns", true, "10.1.0.2"), of("exporter-1", "exporter", true, "192.0.2.9"), of("peers-1", "peers", true, "192.0.2.9")
	protocol, port := corev1.ProtocolUDP, int32(9100)
	udp.Ports = []discoveryv1.EndpointPort{{Port: &port, Protocol: &protocol}, {}}
	exporter.Ports[0].Port, portless.Ports = &port, nil
	reader := fake.NewClientBuilder().WithObjects(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: corev1.ServiceSpec{ClusterIPs: []string{"10.0.0.1", "fd00::1"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Spec: corev1.ServiceSpec{ClusterIPs: []string{corev1.ClusterIPNone}}},
		of("api-1", "api", false, "10.1.0.1"), of("db-1", "db", true, "10.1.0.2", "10.1.0.3"), of("z-1", "z", true, "10.1.0.3"), of("all-1", "all", true, "10.1.0.3"),
		udp, exporter, portless,
	).WithIndex(&corev1.Service{}, addressIndex, indexService).WithIndex(&discoveryv1.EndpointSlice{}, addressIndex, indexHeadless).Build()
	c := &clusterLookup{reader: reader, domain: "cluster.local"}
	for address, want := range map[string]string{
		"10.0.0.1:80": "shop/api:80", "[fd00::1]:81": "shop/api:81", "10.1.0.1:8080": "", "192.0.2.1:80": "",
		"10.1.0.2:5432": "shop/db:5432",
		"10.1.0.3:5432": "shop/all:5432", // of three, the first
		"10.1.0.2:9100": "", "10.1.0.2:53": "",
		"192.0.2.9:9100": "shop/exporter:9100", "192.0.2.9:443": "", // of a node
	} {
		if got := c.ServiceAt(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestWhetherAPolicyHasBreakers(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	with := v1alpha1.PolicyStatus{Destinations: []v1alpha1.DestinationStatus{{To: "a"}, {To: "b", Breaker: v1alpha1.BreakerStateClosed}}}
	without := v1alpha1.PolicyStatus{Destinations: []v1alpha1.DestinationStatus{{To: "a"}}}
	c := &clusterLookup{reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "with"}, Status: with},
		&v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "without"}, Status: without},
		&v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: "with"}, Status: with},
	).Build()}
	for id, want := range map[string]bool{"shop/with": true, "shop/without": false, "shop/gone": false, "with": true, "without": false} {
		if got := c.HasBreaker(policy.ParseID(id)); got != want {
			t.Errorf("%s: %t", id, got)
		}
	}
}
