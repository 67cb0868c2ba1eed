package manager

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/policy"
)

// ownedPod returns a pod that a controller has made, with its template's hash.
func ownedPod(ns, name, node, apiVersion, kind, controller string) *corev1.Pod {
	p := newPod(ns, name, node)
	p.Labels["pod-template-hash"] = "7d4b9c"
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: apiVersion, Kind: kind, Name: controller, UID: "2f5a8b1c-0000-4000-8000-000000000001", Controller: ptr(true),
	}}
	return p
}

var _ = Describe("what a pod belongs to", func() {
	It("reaches its node's agent, and a change of it", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		node := nodeName(ns, 1)
		a := newAgent(ctx, node)
		givenPolicy(ctx, ns, "p", `{to: [{cidr: {block: 203.0.113.0/24}}]}`)
		cart := givenPod(ctx, ownedPod(ns, "cart-7d4b9c-a", node, "apps/v1", "ReplicaSet", "cart-7d4b9c"))
		givenPod(ctx, ownedPod(ns, "cart-7d4b9c-b", node, "apps/v1", "ReplicaSet", "cart-7d4b9c"))
		givenPod(ctx, ownedPod(ns, "db-0", node, "apps/v1", "StatefulSet", "db"))
		givenPod(ctx, newPod(ns, "by-hand", node))
		owners := func() map[string]string {
			out := map[string]string{}
			for _, w := range a.client.Snapshot().Workloads {
				out[w.Name] = w.Owner.String()
				Expect(w.Caller()).To(Equal(policy.Caller{Namespace: ns, Workload: w.Owner.Name}))
			}
			return out
		}
		want := map[string]string{
			"cart-7d4b9c-a": "Deployment/cart", "cart-7d4b9c-b": "Deployment/cart", "db-0": "StatefulSet/db", "by-hand": "Pod/by-hand",
		}
		Eventually(owners).Should(Equal(want))

		By("an orphan belongs to itself")
		edit(ctx, cart, func(p *corev1.Pod) { p.OwnerReferences = nil })
		want[cart.Name] = "Pod/" + cart.Name
		Eventually(owners).Should(Equal(want))
	})
})
