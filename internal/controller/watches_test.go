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

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// What the cache keeps of a Service and its slices is all that agents get to know.
func TestRule40_TheCacheKeepsWhatAServiceSays(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: corev1.ServiceSpec{
		ClusterIPs: []string{"10.96.0.1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}, SessionAffinity: corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](60)}},
	}}
	ends := endpoint("10.1.0.2", ptr.To(false))
	ends.Conditions.Serving, ends.Conditions.Terminating = ptr.To(true), ptr.To(true)
	hinted := endpoint("10.1.0.1", ptr.To(true))
	hinted.NodeName = ptr.To("node-1")
	hinted.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}, ForNodes: []discoveryv1.ForNode{{Name: "node-1"}}}
	slices := []discoveryv1.EndpointSlice{*slice("a", "api", discoveryv1.AddressTypeIPv4, 8080, hinted, ends)}
	for _, traffic := range []*corev1.ServiceInternalTrafficPolicy{nil, &local} {
		svc.Spec.InternalTrafficPolicy = traffic
		want := compile.DestinationOf(svc, slices, "")
		keptService, serviceErr := trimService(svc)
		keptSlice, sliceErr := trimSlice(&slices[0])
		if serviceErr != nil || sliceErr != nil {
			t.Fatal(serviceErr, sliceErr)
		}
		got := compile.DestinationOf(keptService.(*corev1.Service), []discoveryv1.EndpointSlice{*keptSlice.(*discoveryv1.EndpointSlice)}, "")
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
			t.Errorf("of what the cache keeps (-want +got):\n%s", diff)
		}
		if e := want.Ports[0].Endpoints[0]; e.Plain() || e.Addr == (policy.Endpoint{}).Addr {
			t.Errorf("the endpoint says nothing: %+v", e)
		}
	}
}

func TestTheCacheKeepsTheZoneOfANode(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelTopologyZone: "east", "pool": "big"}}}
	node.Status.Images = []corev1.ContainerImage{{Names: []string{"an image"}}}
	kept, err := trimNode(node)
	if err != nil {
		t.Fatal(err)
	}
	if n := kept.(*corev1.Node); len(n.Labels) != 1 || len(n.Status.Images) != 0 {
		t.Errorf("more is kept than the zone: %+v", n)
	}
	c := &clusterLookup{reader: fake.NewClientBuilder().WithObjects(kept.(*corev1.Node)).Build()}
	if zone := c.Zone("node-1"); zone != "east" {
		t.Errorf("zone %q", zone)
	}
	if zone := c.Zone("node-2"); zone != "" {
		t.Errorf("zone %q of a node that is not there", zone)
	}
}
