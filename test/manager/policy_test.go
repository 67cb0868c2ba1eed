package manager

import (
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

const anywhere = `{podSelector: {matchLabels: {app: checkout}}, to: [{any: {}}], retry: {maxRetries: 3}}`

var _ = Describe("a policy", func() {
	It("is not ready at first, and ready once every node has acknowledged it", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		b := newAgent(ctx, nodeName(ns, 2))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		givenPod(ctx, newPod(ns, "b", nodeName(ns, 2)))
		seen, err := suite.admin.Watch(ctx, &v1alpha1.RetryPolicyList{}, client.InNamespace(ns))
		Expect(err).NotTo(HaveOccurred())
		defer seen.Stop()
		p := givenPolicy(ctx, ns, "p", anywhere)

		s := eventually(ctx, p, map[string]string{
			v1alpha1.ConditionAccepted: "True/Accepted", v1alpha1.ConditionProgrammed: "True/Programmed", v1alpha1.ConditionReady: "True/Ready"})
		Expect(*s.MatchedPods).To(BeEquivalentTo(2))
		Expect(s.Nodes.Summary).To(Equal("2/2"))
		Expect(s.Mode).To(Equal(v1alpha1.ModeEnforce))
		Expect(s.DestinationSummary).To(Equal("any"))
		Expect(s.Destinations).To(HaveExactElements(v1alpha1.DestinationStatus{To: "any", Protocol: v1alpha1.ProtocolAuto, Enforced: v1alpha1.EnforcementFull}))
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReconciling)).To(BeNil())
		Expect(kstatus(p)).To(Equal(status.CurrentStatus))
		Expect(a.workloads()).To(Equal([]string{"a"}), "an agent gets its own node's pods and no others")
		Expect(b.workloads()).To(Equal([]string{"b"}))
		Expect(a.binding().Base.Retry.MaxRetries).To(Equal(3))

		first := firstStatus(seen)
		Expect(outcome(&first.Status, 1, v1alpha1.ConditionReady)).To(HavePrefix("False/"))
		Expect(kstatus(first)).To(Equal(status.InProgressStatus))
	}, SpecTimeout(time.Minute))

	It("waits for a node whose agent is not connected, and says so", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(outcome(s, 1, v1alpha1.ConditionReady)).To(HavePrefix("False/"))
			g.Expect(outcome(s, 1, v1alpha1.ConditionReconciling)).To(Equal("True/Progressing"))
			g.Expect(s.Nodes.Summary).To(Equal("0/1"))
		}).Should(Succeed())
		newAgent(ctx, nodeName(ns, 1))
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
	}, SpecTimeout(time.Minute))

	It("names the node that refuses it, and recovers when it is mended", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		a.refuse = ns + "/p"
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})

		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Retry.MaxRetries = ptr(int32(7)) })
		s := eventually(ctx, p, map[string]string{
			v1alpha1.ConditionAccepted: "True/Accepted", v1alpha1.ConditionProgrammed: "False/RefusedByNodes", v1alpha1.ConditionStalled: "True/RefusedByNodes"})
		Expect(s.Nodes.Failed).To(BeEquivalentTo(1))
		Expect(s.Nodes.Failures).To(HaveLen(1))
		Expect(s.Nodes.Failures[0].Node).To(Equal(nodeName(ns, 1)))
		Expect(s.Nodes.Failures[0].Message).To(ContainSubstring("seven is too many"))
		Expect(kstatus(p)).To(Equal(status.FailedStatus))
		Expect(a.binding().Base.Retry.MaxRetries).To(Equal(3), "the previous version stays in force")
		eventuallyEvents(ctx, ns, "NodesFailing")

		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Retry.MaxRetries = ptr(int32(1)) })
		s = eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(s.Nodes.Failures).To(BeEmpty())
		Expect(a.binding().Base.Retry.MaxRetries).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("loses against an older one of the same level, selector and destination until that goes", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		older := givenPolicy(ctx, ns, "a-older", anywhere) // ages are whole seconds; by its name it is first in any case
		eventually(ctx, older, map[string]string{v1alpha1.ConditionAccepted: "True/Accepted"})
		newer := givenPolicy(ctx, ns, "b-newer", anywhere)
		s := eventually(ctx, newer, map[string]string{
			v1alpha1.ConditionAccepted: "False/Conflicted", v1alpha1.ConditionConflicted: "True/Conflicted", v1alpha1.ConditionReady: "False/Conflicted",
			v1alpha1.ConditionStalled: "True/Conflicted"})
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted).Message).To(ContainSubstring(ns + "/a-older"))
		Expect(kstatus(newer)).To(Equal(status.FailedStatus))
		eventually(ctx, older, map[string]string{v1alpha1.ConditionReady: "True/Ready"})

		Expect(suite.admin.Delete(ctx, older)).To(Succeed())
		eventually(ctx, newer, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
	}, SpecTimeout(time.Minute))

	It("is accepted when the Service it names appears, and keeps its last good version when that goes", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", `{to: [{service: {name: inventory, port: http}}], timeouts: {perTry: 2s}}`)
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ServiceNotFound", v1alpha1.ConditionReady: "False/ServiceNotFound"})
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted).Message).To(
			Equal("to[0]: there is no Service inventory in namespace " + ns + "; create it, or correct the name."))
		eventuallyEvents(ctx, ns, "PolicyRefused")

		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "inventory"},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 8080}}}}
		Expect(suite.admin.Create(ctx, svc)).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/PortNotFound"})
		edit(ctx, svc, func(s *corev1.Service) { s.Spec.Ports[0].Name = "http" })
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(a.binding().To).To(Equal(policy.Target{Kind: policy.TargetService, Service: ns + "/inventory", Ports: []uint16{8080}}))

		Expect(suite.admin.Create(ctx, readyEndpoints(svc, "10.1.2.3", "10.1.2.4"))).To(Succeed())
		Eventually(func(g Gomega) {
			d := a.client.Snapshot().Destinations[ns+"/inventory"]
			g.Expect(d).NotTo(BeNil())
			g.Expect(d.Ports).To(HaveLen(1))
			g.Expect(d.Ports[0].Endpoints).To(HaveLen(2))
			g.Expect(d.ClusterIPs).To(HaveLen(1))
			g.Expect(d.Hostnames).To(ContainElement("inventory." + ns + ".svc.cluster.local"))
			s := statusNow(ctx, p)
			g.Expect(s.Destinations).To(HaveLen(1))
			g.Expect(s.Destinations[0].To).To(Equal(ns + "/inventory:8080"))
			g.Expect(s.Destinations[0].Endpoints).To(HaveValue(BeEquivalentTo(2)))
		}).Should(Succeed())

		Expect(suite.admin.Delete(ctx, svc)).To(Succeed())
		s = eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ServiceNotFound"})
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted).Message).To(ContainSubstring("last good version stays in force"))
		Expect(a.binding().Base.Timeouts.PerTry).To(Equal(2 * time.Second))
	}, SpecTimeout(time.Minute))

	It("follows its pods: labels, ends, host network, other namespaces", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		pod := givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		host := newPod(ns, "host", nodeName(ns, 1))
		host.Spec.HostNetwork = true
		givenPod(ctx, host)
		givenPod(ctx, newPod(ns, "unscheduled", ""))
		p := givenPolicy(ctx, ns, "p", anywhere)
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready", v1alpha1.ConditionPartiallyEnforced: "True/HostNetwork"})
		Expect(*s.MatchedPods).To(BeEquivalentTo(1))
		Expect(*s.HostNetworkPods).To(BeEquivalentTo(1))
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPartiallyEnforced).Message).To(Equal("Selects 1 pod on the host's network in vain."))
		Expect(a.workloads()).To(Equal([]string{"a"}))

		edit(ctx, pod, func(p *corev1.Pod) { p.Labels["app"] = "other" })
		Eventually(a.workloads).Should(BeEmpty())
		edit(ctx, pod, func(p *corev1.Pod) { p.Labels["app"] = "checkout" })
		Eventually(a.workloads).Should(Equal([]string{"a"}))
		pod.Status.Phase = corev1.PodSucceeded
		Expect(suite.admin.Status().Update(ctx, pod)).To(Succeed())
		Eventually(a.workloads).Should(BeEmpty())
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(*s.MatchedPods).To(BeEquivalentTo(0))
			g.Expect(outcome(s, 1, v1alpha1.ConditionProgrammed)).To(Equal("True/NoMatchingPods"))
			g.Expect(s.Nodes.Summary).To(Equal("0/0"))
		}).Should(Succeed())
	}, SpecTimeout(time.Minute))

	It("lets go of its pods when it is disabled or deleted", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		Eventually(a.workloads).Should(Equal([]string{"a"}))
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Mode = v1alpha1.ModeDisabled })
		Eventually(a.workloads).Should(BeEmpty())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Disabled"})
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Mode = v1alpha1.ModeDryRun })
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionDryRun: "True/DryRunMode", v1alpha1.ConditionReady: "True/Ready"})
		Expect(s.Destinations[0].Enforced).To(Equal(v1alpha1.EnforcementNone))
		Expect(a.workloads()).To(Equal([]string{"a"}))
		Expect(a.binding().Mode).To(Equal(policy.ModeDryRun))
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Mode = "" })
		Eventually(a.workloads).Should(Equal([]string{"a"}))
		Expect(suite.admin.Delete(ctx, p)).To(Succeed())
		Eventually(a.workloads).Should(BeEmpty())
		Expect(a.client.Snapshot().Profiles).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("merges with cluster policies and says how", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		c := &v1alpha1.ClusterRetryPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "over-" + ns},
			Spec: v1alpha1.ClusterRetryPolicySpec{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
				To:                []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}}},
				Overrides:         &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{MaxRetries: ptr(int32(1))}}},
			},
		}
		Expect(suite.admin.Create(ctx, c)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(suite.admin.Delete(ctx, c)).To(Succeed()) })
		s := eventually(ctx, c, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(*s.MatchedNamespaces).To(BeEquivalentTo(1))
		Expect(*s.MatchedPods).To(BeEquivalentTo(1))
		Expect(a.binding().Base.Retry.MaxRetries).To(Equal(1))
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(s.Effective).NotTo(BeNil())
			g.Expect(s.Effective.OverriddenBy).To(HaveExactElements(
				v1alpha1.PolicyReference{Kind: v1alpha1.ClusterRetryPolicyKind, Name: "over-" + ns, Blocks: []string{"retry"}}))
		}).Should(Succeed())
	}, SpecTimeout(time.Minute))

	It("shows its traffic, and records when a breaker opens and closes", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		pod := newPod(ns, "a", nodeName(ns, 1))
		givenPod(ctx, pod)
		p := givenPolicy(ctx, ns, "p", `{to: [{any: {}}], circuitBreaker: {consecutiveFailures: 5}}`)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		By("saying that there are figures, and nobody called")
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(s.Traffic).NotTo(BeNil())
			g.Expect(s.Traffic.RPS).To(Equal("0"))
			g.Expect(s.Traffic.Breaker).To(Equal("Closed"))
		}).Should(Succeed())
		id := policy.ID{Namespace: ns, Name: "p"}
		traffic := policy.Traffic{Policy: id, Target: "any", Counts: policy.Counts{Requests: 600, Successes: 599, Abandoned: 1, Retries: 20}}
		traffic.Latency[policy.LatencyBucket(20*time.Millisecond)] = 600
		a.report(traffic)
		a.setGauges(&policy.Traffic{Policy: id, Target: "any", BreakersOpen: 1, BreakersHalfOpen: 1, BreakerAge: time.Minute, OpaqueOpen: 3})
		By("saying how its breaker stands, as soon as that is known")
		Eventually(func(g Gomega) {
			d := statusNow(ctx, p).Destinations
			g.Expect(d).To(HaveLen(1))
			g.Expect(d[0].Breaker).To(Equal(v1alpha1.BreakerStateHalfOpen))
			g.Expect(d[0].BreakerSince.Time).To(BeTemporally("~", time.Now().Add(-time.Minute), 20*time.Second))
		}).Should(Succeed())
		By("showing figures")
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(s.Traffic).NotTo(BeNil())
			g.Expect(s.Traffic.Abandoned).To(BeEquivalentTo(1))
			g.Expect(s.Traffic.Breaker).To(Equal("HalfOpen(1)"))
			g.Expect(s.Traffic.Opaque.Open).To(BeEquivalentTo(3))
			g.Expect(s.Traffic.Requests).To(BeEquivalentTo(600))
			g.Expect(s.Traffic.Success).To(Equal("99.83%"))
			g.Expect(s.Traffic.Retries).To(BeEquivalentTo(20))
			g.Expect(s.Traffic.P99).NotTo(BeEmpty())
		}).Should(Succeed())
		eventuallyEvents(ctx, ns, "BreakerOpened")
		a.setGauges(nil)
		eventuallyEvents(ctx, ns, "BreakerClosed")
		By("taking them away with the pods")
		Expect(suite.admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func(g Gomega) {
			s := statusNow(ctx, p)
			g.Expect(*s.MatchedPods).To(BeZero())
			g.Expect(s.Traffic).To(BeNil())
		}).Should(Succeed())
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("the API server", func() {
	It("refuses a status that was worked out for the object as it was", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		p := givenPolicy(ctx, ns, "p", anywhere)
		u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"observedGeneration": int64(7)}}}
		u.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.RetryPolicyKind))
		u.SetNamespace(ns)
		u.SetName("p")
		u.SetResourceVersion("1")
		err := suite.admin.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("fairlead-manager"), client.ForceOwnership)
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		Expect(statusNow(ctx, p).ObservedGeneration).NotTo(BeEquivalentTo(7))
	}, SpecTimeout(time.Minute))
})

// firstStatus returns the policy as the first status written on it left it.
func firstStatus(seen watch.Interface) *v1alpha1.RetryPolicy {
	GinkgoHelper()
	for e := range seen.ResultChan() {
		if p, ok := e.Object.(*v1alpha1.RetryPolicy); ok && len(p.Status.Conditions) > 0 {
			return p
		}
	}
	Fail("the watch ended before a status was written")
	return nil
}

// eventuallyEvents waits for Events of the namespace with these reasons.
func eventuallyEvents(ctx SpecContext, namespace string, reasons ...string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var list eventsv1.EventList
		g.Expect(suite.admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		var got []string
		for _, e := range list.Items {
			got = append(got, e.Reason)
		}
		for _, r := range reasons {
			g.Expect(got).To(ContainElement(r))
		}
	}).Should(Succeed())
}

func readyEndpoints(svc *corev1.Service, addresses ...string) *discoveryv1.EndpointSlice {
	name, port, tcp := "http", int32(9090), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name + "-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.9.9.9"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(false)}})
	return s
}

func ptr[T any](v T) *T { return &v }
