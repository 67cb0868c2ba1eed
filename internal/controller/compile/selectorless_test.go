package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// A Service without a selector has the endpoints that somebody wrote by hand: addresses of no pod and no node, with nothing said of how they
// are, which counts as ready; the port may have no name.
func TestAServiceWithoutASelectorHasTheEndpointsThatWereWritten(t *testing.T) {
	svc := serviceWith(corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}})
	written := discoveryv1.EndpointSlice{
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"198.51.100.7"}}, {Addresses: []string{"198.51.100.8"}, Conditions: discoveryv1.EndpointConditions{Ready: no}}},
		Ports:     []discoveryv1.EndpointPort{{Port: ptr.To[int32](9080)}},
	}
	d := DestinationOf(svc, []discoveryv1.EndpointSlice{written}, "cluster.local")
	var got []string
	for _, e := range d.Ports[0].Endpoints {
		got = append(got, e.Addr.String())
	}
	if diff := cmp.Diff([]string{"198.51.100.7:9080"}, got); diff != "" {
		t.Error(diff)
	}
}
