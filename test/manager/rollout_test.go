package manager

import (
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// threeNodes runs agents on three nodes with a pod each.
func threeNodes(ctx SpecContext, ns string, managers ...*replica) []*agent {
	GinkgoHelper()
	var agents []*agent
	for i := range 3 {
		agents = append(agents, newAgent(ctx, nodeName(ns, i), managers...))
		givenPod(ctx, newPod(ns, fmt.Sprint("pod-", i), nodeName(ns, i)))
	}
	return agents
}

// retries returns how many retries each node has by the policy; -1 for no policy.
func retries(agents []*agent) []int {
	var out []int
	for _, a := range agents {
		n := -1
		if b := a.binding(); b != nil {
			n = b.Base.Retry.MaxRetries
		}
		out = append(out, n)
	}
	return out
}

// changed returns the agent that alone has so many retries, and the others.
func changed(agents []*agent, n int) (with *agent, without []*agent) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		with, without = nil, nil
		for i, got := range retries(agents) {
			if got != n {
				without = append(without, agents[i])
				continue
			}
			g.Expect(with).To(BeNil())
			with = agents[i]
		}
		g.Expect(with).NotTo(BeNil())
	}).Should(Succeed())
	return with, without
}

func callsUnder(ns string, calls, successes uint64) policy.Traffic {
	return policy.Traffic{Policy: policy.ID{Namespace: ns, Name: "p"}, Target: "any", Counts: policy.Counts{Requests: calls, Successes: successes}}
}

// inForce has the first generation of a policy be in force on all three nodes.
func inForce(ctx SpecContext, ns, observe string) *v1alpha1.RetryPolicy {
	GinkgoHelper()
	p := givenPolicy(ctx, ns, "p", `{podSelector: {matchLabels: {app: checkout}}, to: [{any: {}}], retry: {maxRetries: 1}}`)
	eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
	changeRetries(ctx, p, 1, observe)
	s := eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
	Expect(s.Rollout).To(BeNil(), "the policy asks for the same as before")
	return p
}

// changeRetries makes another generation of the policy.
func changeRetries(ctx SpecContext, p *v1alpha1.RetryPolicy, n int, observe string) {
	GinkgoHelper()
	edit(ctx, p, func(p *v1alpha1.RetryPolicy) {
		p.Spec.Retry.MaxRetries = ptr(int32(n))
		p.Spec.Rollout = &v1alpha1.Rollout{Percent: 1, Observe: v1alpha1.Duration(observe)}
	})
}

var _ = Describe("the rollout of a change", func() {
	It("takes it back from the first node when calls fail there, and tries it no more", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		agents := threeNodes(ctx, ns)
		p := inForce(ctx, ns, "1h")
		changeRetries(ctx, p, 2, "1h")
		s := eventually(ctx, p, map[string]string{
			v1alpha1.ConditionAccepted: "True/Accepted", v1alpha1.ConditionProgrammed: "False/RollingOut", v1alpha1.ConditionReady: "False/RollingOut",
			v1alpha1.ConditionReconciling: "True/RollingOut"})
		Expect(kstatus(p)).To(Equal(status.InProgressStatus))
		Expect(s.InForceGeneration).To(Equal(p.Generation - 1))
		with, without := changed(agents, 2)
		Expect(without).To(HaveLen(2))
		Eventually(func(g Gomega) {
			s = statusNow(ctx, p)
			g.Expect(s.Rollout.Phase).To(Equal(v1alpha1.RolloutObserving))
			g.Expect(s.Nodes.Summary).To(Equal("1/3"))
			g.Expect(*s.MatchedPods).To(BeEquivalentTo(3))
		}).Should(Succeed())
		Expect(s.Rollout.Until.Time).To(BeTemporally("~", time.Now().Add(time.Hour), time.Minute))
		By("counting calls on both sides, which succeed")
		for _, a := range agents {
			a.report(callsUnder(ns, 100, 100))
		}
		By("counting calls of which those of the changed node fail")
		Eventually(func(g Gomega) {
			with.report(callsUnder(ns, 200, 50))
			without[0].report(callsUnder(ns, 200, 199))
			g.Expect(retries(agents)).To(HaveEach(1))
		}).WithPolling(500 * time.Millisecond).WithTimeout(40 * time.Second).Should(Succeed())
		s = eventually(ctx, p, map[string]string{
			v1alpha1.ConditionAccepted: "True/Accepted", v1alpha1.ConditionProgrammed: "False/RolledBack", v1alpha1.ConditionReady: "False/RolledBack",
			v1alpha1.ConditionStalled: "True/RolledBack"})
		Expect(kstatus(p)).To(Equal(status.FailedStatus))
		Expect(s.Rollout.Message).To(MatchRegexp(`^\d+\.\d\d% of \d+ calls were successful where it was in force, and \d+(\.\d\d)?% of \d+ on the other nodes\.$`))
		Expect(s.Nodes.Summary).To(Equal("0/3"))
		eventuallyEvents(ctx, ns, "RolloutStarted", "RolledBack")

		By("bringing what was in force back by an edit, at once")
		changeRetries(ctx, p, 1, "1h")
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(retries(agents)).To(HaveEach(1))
	}, SpecTimeout(2*time.Minute))

	It("brings it to all nodes after a while in which calls succeed", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		agents := threeNodes(ctx, ns)
		p := inForce(ctx, ns, "10s")
		changeRetries(ctx, p, 2, "10s")
		changed(agents, 2)
		Eventually(func(g Gomega) {
			for _, a := range agents {
				a.report(callsUnder(ns, 100, 99))
			}
			g.Expect(retries(agents)).To(HaveEach(2))
		}).WithPolling(500 * time.Millisecond).WithTimeout(40 * time.Second).Should(Succeed())
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(s.Nodes.Summary).To(Equal("3/3"))
		Expect(s.InForceGeneration).To(Equal(p.Generation))
		Expect(s.Rollout.Phase).To(Equal(v1alpha1.RolloutComplete))
		Expect(s.Rollout.Changed.Calls).To(BeNumerically(">=", 100))
		Expect(s.Rollout.Others.Calls).To(BeNumerically(">=", 200))
		eventuallyEvents(ctx, ns, "RolloutStarted", "RolloutFinished")
		Expect(suite.admin.Delete(ctx, p)).To(Succeed())
		Eventually(revisionsOf(ctx, p)).Should(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("takes it back when a node refuses it", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		agents := threeNodes(ctx, ns)
		p := inForce(ctx, ns, "1h")
		for _, a := range agents {
			a.mu.Lock()
			a.refuse = ns + "/p^next"
			a.mu.Unlock()
		}
		changeRetries(ctx, p, 7, "1h")
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionStalled: "True/RolledBack"})
		Expect(s.Rollout.Message).To(ContainSubstring("refused it (Invalid: seven is too many)."))
		Eventually(func() []int { return retries(agents) }).Should(HaveEach(1))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("a manager that starts", Serial, func() {
	It("goes on with a rollout, and knows what the other nodes have after an edit in its absence", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		suite.running.stop()
		first := startReplica(ctx, false)
		agents := threeNodes(ctx, ns, first)
		DeferCleanup(func(ctx SpecContext) { suite.running = startReplica(ctx, false) })
		p := inForce(ctx, ns, "1h")
		changeRetries(ctx, p, 2, "1h")
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReconciling: "True/RollingOut"})
		Eventually(func() v1alpha1.RolloutPhase { return statusNow(ctx, p).Rollout.Phase }).Should(Equal(v1alpha1.RolloutObserving))
		before := retries(agents)
		first.stop()

		second := startReplica(ctx, false)
		reconnect(agents, second)
		Consistently(func() []int { return retries(agents) }).WithTimeout(time.Second).Should(Equal(before))
		Expect(statusNow(ctx, p).Rollout.Phase).To(Equal(v1alpha1.RolloutObserving))
		second.stop()

		changeRetries(ctx, p, 3, "1h")
		third := startReplica(ctx, false)
		DeferCleanup(third.stop)
		reconnect(agents, third)
		with, without := changed(agents, 3)
		Expect(with).NotTo(BeNil())
		Expect(retries(without)).To(HaveEach(1))
	}, SpecTimeout(2*time.Minute))
})

// reconnect has agents ask another manager, and waits until they have.
func reconnect(agents []*agent, to *replica) {
	GinkgoHelper()
	for _, a := range agents {
		a.managers.Store(&[]*replica{to})
	}
	Eventually(func(g Gomega) {
		for _, a := range agents {
			g.Expect(a.client.State().Manager).To(Equal(to.address))
		}
	}).Should(Succeed())
}

// revisionsOf lists what is kept of a policy.
func revisionsOf(ctx SpecContext, p *v1alpha1.RetryPolicy) func() []string {
	return func() []string {
		var list appsv1.ControllerRevisionList
		Expect(suite.admin.List(ctx, &list, client.InNamespace(system))).To(Succeed())
		var out []string
		for i := range list.Items {
			if name := list.Items[i].Name; len(name) > 60 && name[16:52] == string(p.UID) {
				out = append(out, name)
			}
		}
		return out
	}
}
