package manager

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/policy"
)

// sliceFor returns an EndpointSlice of a Service with one endpoint for each node.
func sliceFor(svc *corev1.Service, nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr(""), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}},
	}
	for i, node := range nodes {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{"10.1.0." + string(rune('1'+i))}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(true)}, NodeName: &node,
		})
	}
	return s
}

var _ = Describe("a Service", func() {
	It("reaches agents with what it says about its endpoints, and with the zone of their node", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		here, there := nodeName(ns, 1), nodeName(ns, 2)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: here}}
		Expect(suite.admin.Create(ctx, node)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(suite.admin.Delete(ctx, node)).To(Succeed()) })
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Port: 80}}, SessionAffinity: corev1.ServiceAffinityClientIP,
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr(int32(60))}},
		}}
		Expect(suite.admin.Create(ctx, svc)).To(Succeed())
		slice := sliceFor(svc, here, there)
		Expect(suite.admin.Create(ctx, slice)).To(Succeed())
		a := newAgent(ctx, here)
		givenPod(ctx, newPod(ns, "a", here))
		givenPolicy(ctx, ns, "p", `{to: [{service: {name: api}}]}`)

		destination := func() *policy.Destination { return a.client.Snapshot().Destinations[ns+"/api"] }
		usable := func() []string {
			d, out := destination(), []string{}
			if d == nil {
				return nil
			}
			for _, e := range d.Usable(&d.Ports[0], policy.Location{Node: here, Zone: a.client.Snapshot().Zone()}) {
				out = append(out, e.Addr().String())
			}
			return out
		}
		Eventually(usable).Should(Equal([]string{"10.1.0.1", "10.1.0.2"}))
		Expect(destination().Affinity).To(Equal(time.Minute))

		By("the endpoints of another zone, once the node has one")
		edit(ctx, slice, func(s *discoveryv1.EndpointSlice) {
			for i, zone := range []string{"west", "east"} {
				s.Endpoints[i].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
			}
		})
		edit(ctx, node, func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelTopologyZone: "east"} })
		Eventually(usable).Should(Equal([]string{"10.1.0.2"}))

		By("those of the node alone")
		edit(ctx, svc, func(s *corev1.Service) {
			s.Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
			s.Spec.SessionAffinity, s.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
		})
		Eventually(usable).Should(Equal([]string{"10.1.0.1"}))
		Expect(destination().Affinity).To(BeZero())

		By("one that still serves while it ends")
		edit(ctx, slice, func(s *discoveryv1.EndpointSlice) {
			s.Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
		})
		Eventually(func() bool {
			d := destination()
			return d.Ports[0].Endpoints[0].Terminating
		}).Should(BeTrue())
		Expect(usable()).To(Equal([]string{"10.1.0.1"}))
	}, SpecTimeout(time.Minute))
})
