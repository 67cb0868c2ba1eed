package controller

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// What a Service asks about the choice of its endpoints is seen in what the cache keeps of it.
func TestWhoPicksTheEndpointsOfAService(t *testing.T) {
	local, anywhere := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster
	for name, tc := range map[string]struct {
		spec        corev1.ServiceSpec
		annotations map[string]string
		want        string
	}{
		"nothing asked":           {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: &anywhere}, nil, ""},
		"session affinity":        {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP}, nil, v1alpha1.ReasonServiceAffinity},
		"local traffic":           {corev1.ServiceSpec{InternalTrafficPolicy: &local}, nil, v1alpha1.ReasonServiceTrafficPolicy},
		"traffic distribution":    {corev1.ServiceSpec{TrafficDistribution: ptr.To("PreferClose")}, nil, v1alpha1.ReasonServiceTrafficDistribution},
		"a distribution to come":  {corev1.ServiceSpec{TrafficDistribution: ptr.To("Whatever")}, nil, v1alpha1.ReasonServiceTrafficDistribution},
		"topology mode":           {corev1.ServiceSpec{}, map[string]string{corev1.AnnotationTopologyMode: "Auto"}, v1alpha1.ReasonServiceTrafficDistribution},
		"topology hints":          {corev1.ServiceSpec{}, map[string]string{corev1.DeprecatedAnnotationTopologyAwareHints: "auto"}, v1alpha1.ReasonServiceTrafficDistribution},
		"topology mode, disabled": {corev1.ServiceSpec{}, map[string]string{corev1.AnnotationTopologyMode: "Disabled"}, ""},
		"another annotation":      {corev1.ServiceSpec{}, map[string]string{"team": "shop"}, ""},
		"headless": {corev1.ServiceSpec{ClusterIPs: []string{corev1.ClusterIPNone}, SessionAffinity: corev1.ServiceAffinityClientIP,
			TrafficDistribution: ptr.To("PreferClose")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Annotations: tc.annotations}, Spec: tc.spec}
			if svc.Spec.ClusterIPs == nil {
				svc.Spec.ClusterIPs = []string{"10.0.0.1"}
			}
			kept, err := trimService(svc)
			if err != nil {
				t.Fatal(err)
			}
			c := &clusterLookup{reader: fake.NewClientBuilder().WithObjects(kept.(*corev1.Service)).Build()}
			if s, ok := c.Service("shop/api"); !ok || s.ClusterPicks != tc.want {
				t.Errorf("the cluster picks because of %q, want %q", s.ClusterPicks, tc.want)
			}
		})
	}
}

// Endpoints that end and still serve are used when there is no other, in each family by itself.
func TestEndpointsAreThoseThatTheClusterWouldUse(t *testing.T) {
	conditions := func(ready, serving, terminating *bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}
	}
	yes, no := ptr.To(true), ptr.To(false)
	ready, unready := conditions(yes, yes, no), conditions(no, no, no)
	ending, ended := conditions(no, yes, yes), conditions(no, no, yes)
	starting := conditions(no, yes, no) // serving, and neither ready nor ending: not for us
	type at map[string]discoveryv1.EndpointConditions
	for name, tc := range map[string]struct {
		give at
		want []string
	}{
		"ready ones":                                {at{"10.1.0.1": ready, "10.1.0.2": ending, "10.1.0.3": unready}, []string{"10.1.0.1:8080"}},
		"only ending ones":                          {at{"10.1.0.1": ending, "10.1.0.2": ended, "10.1.0.3": unready}, []string{"10.1.0.1:8080"}},
		"ready in one family, ending in both":       {at{"10.1.0.1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.1:8080", "[fd01::2]:8080"}},
		"ready in the other, ending in both":        {at{"fd01::1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.2:8080", "[fd01::1]:8080"}},
		"nobody knows better":                       {at{"10.1.0.1": conditions(nil, nil, nil)}, []string{"10.1.0.1:8080"}},
		"not ready, published (marked as ready)":    {at{"10.1.0.1": conditions(yes, no, no), "10.1.0.2": conditions(yes, no, yes)}, []string{"10.1.0.1:8080", "10.1.0.2:8080"}},
		"none":                                      {at{"10.1.0.1": unready, "10.1.0.2": ended, "10.1.0.3": starting}, nil},
		"one family only":                           {at{"fd01::1": ready}, []string{"[fd01::1]:8080"}},
		"both families":                             {at{"10.1.0.1": ready, "fd01::1": ready}, []string{"10.1.0.1:8080", "[fd01::1]:8080"}},
		"a name, which is no address to connect to": {at{"host.example": ready}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var list []discoveryv1.EndpointSlice
			for address, c := range tc.give {
				s := slice(address, "api", discoveryv1.AddressTypeIPv4, 8080, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c})
				kept, err := trimSlice(s)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, *kept.(*discoveryv1.EndpointSlice))
			}
			var got []string
			for _, a := range endpoints(list, "http") {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

// Both families of a Service reach agents, and ports without any endpoint too.
func TestADestinationHasBothFamiliesAndItsEmptyPorts(t *testing.T) {
	ready := ptr.To(true)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: corev1.ServiceSpec{
		ClusterIPs: []string{"fd00::1", "10.0.0.1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 81}}}}
	reader := fake.NewClientBuilder().WithObjects(svc,
		slice("four", "api", discoveryv1.AddressTypeIPv4, 8080, endpoint("10.1.0.1", ready)),
		slice("six", "api", discoveryv1.AddressTypeIPv6, 8080, endpoint("fd01::1", ready), endpoint("fd01::2", ready)),
	).WithIndex(&discoveryv1.EndpointSlice{}, serviceIndex, indexSlice).Build()
	got, _ := (&clusterLookup{reader: reader}).Destination("shop/api")
	want := []policy.DestinationPort{
		{Port: 80, Name: "http", Endpoints: []netip.AddrPort{
			netip.MustParseAddrPort("10.1.0.1:8080"), netip.MustParseAddrPort("[fd01::1]:8080"), netip.MustParseAddrPort("[fd01::2]:8080")}},
		{Port: 81, Name: "admin"},
	}
	if diff := cmp.Diff(want, got.Ports, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(got.ClusterIPs) != 2 {
		t.Errorf("cluster IPs %v, ports (-want +got):\n%s", got.ClusterIPs, diff)
	}
}
