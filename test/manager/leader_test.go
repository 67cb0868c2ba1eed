package manager

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var _ = Describe("two replicas", Serial, func() {
	It("agree that one serves agents, and the other takes over", func(ctx SpecContext) {
		suite.running.stop()
		DeferCleanup(func(ctx SpecContext) { suite.running = startReplica(ctx, false) })
		first := startReplica(ctx, true)
		Eventually(func(g Gomega) {
			lease := &coordinationv1.Lease{}
			g.Expect(suite.admin.Get(ctx, client.ObjectKey{Namespace: system, Name: "fairlead-manager"}, lease)).To(Succeed())
			g.Expect(lease.Spec.HolderIdentity).To(HaveValue(Not(BeEmpty())))
		}).Should(Succeed())
		second := startReplica(ctx, true)
		DeferCleanup(func() { second.stop() })

		ns := newNamespace(ctx)
		// The one that does not lead is asked first.
		a := newAgent(ctx, nodeName(ns, 1), second, first)
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(a.client.State().Manager).To(Equal(first.address))

		first.stop()
		Eventually(func() string { return a.client.State().Manager }).Should(Equal(second.address))
		Expect(a.workloads()).To(Equal([]string{"a"}))
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Retry.MaxRetries = ptr(int32(5)) })
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(a.binding().Base.Retry.MaxRetries).To(Equal(5))
	}, SpecTimeout(2*time.Minute))
})
