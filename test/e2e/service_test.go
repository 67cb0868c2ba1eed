package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/agent/capture/socketlb/socketlbtest"
)

// serverServices are Services that say something about their endpoints: servers, one on every node. A server is behind them while it has the label
// serves.
const serverServices = `
apiVersion: v1
kind: Service
metadata: {name: keeping, namespace: NS}
spec: {selector: {serves: "yes"}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: local, namespace: NS}
spec: {selector: {serves: "yes"}, internalTrafficPolicy: Local, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: zonal, namespace: NS}
spec: {selector: {serves: "yes"}, trafficDistribution: PreferClose, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: NS}
spec: {selector: {serves: "yes"}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: NS}
spec: {clusterIP: None, selector: {serves: "yes"}, ports: [{port: 8080}]}
`

var _ = Describe("a Service", Ordered, func() {
	var all []corev1.Pod // servers, one for each caller in the same order

	BeforeAll(func(ctx context.Context) {
		env.applyAll(ctx, serverServices+daemonSet("server"))
		env.awaitReady(ctx, "server", len(env.callers))
		byNode := map[string]corev1.Pod{}
		for _, p := range readyPods(cluster.pods(ctx, env.namespace, client.MatchingLabels{"app": "server"})) {
			byNode[p.Spec.NodeName] = p
		}
		for i := range env.callers {
			all = append(all, byNode[env.callers[i].Spec.NodeName])
		}
	}, NodeTimeout(2*time.Minute))

	BeforeEach(func(ctx context.Context) {
		for i := range all {
			env.serve(ctx, &all[i], "yes")
		}
		for i := range env.callers {
			env.eventuallyAnswers(ctx, &env.callers[i], "plain", names(all...)...)
		}
	}, NodeTimeout(time.Minute))

	It("has each pod keep its endpoint, and another one when that leaves", func(ctx context.Context) {
		env.policy(ctx, "keeping", naming("keeping"))
		env.known(ctx, "keeping", len(all))
		caller := env.caller()
		first := env.answering(ctx, caller, "keeping", "-fresh", "-n", "40")
		Expect(first).To(HaveLen(1))
		Expect(env.answering(ctx, caller, "keeping", "-n", "40", "-c", "8")).To(Equal(first), "on other connections")
		env.policy(ctx, "keeping", naming("keeping")+"timeouts: {perTry: 5s}\n")
		Expect(env.answering(ctx, caller, "keeping", "-fresh", "-n", "20")).To(Equal(first), "after an edit of the policy")

		kept := slices.IndexFunc(all, func(p corev1.Pod) bool { return p.Name == first[0] })
		env.serve(ctx, &all[kept], "no")
		var second []string
		Eventually(func() []string {
			second = env.answering(ctx, caller, "keeping", "-fresh", "-n", "10")
			return second
		}).WithContext(ctx).Should(And(HaveLen(1), Not(Equal(first))))
		env.serve(ctx, &all[kept], "yes")
		env.eventuallyAnswers(ctx, caller, "plain", names(all...)...)
		env.known(ctx, "keeping", len(all))
		Expect(env.answering(ctx, caller, "keeping", "-fresh", "-n", "20")).To(Equal(second), "though the first one is back")
	}, NodeTimeout(2*time.Minute))

	It("has each pod keep its endpoint when the agent starts again", func(ctx context.Context) {
		env.policy(ctx, "keeping", naming("keeping"))
		env.known(ctx, "keeping", len(all))
		caller := env.caller()
		first := env.answering(ctx, caller, "keeping", "-fresh", "-n", "10")
		agent := cluster.agentOn(ctx, caller.Spec.NodeName)
		Expect(cluster.Delete(ctx, agent, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() bool {
			next := readyPods(cluster.agents(ctx))
			return slices.ContainsFunc(next, func(p corev1.Pod) bool { return p.Spec.NodeName == caller.Spec.NodeName && p.UID != agent.UID })
		}).WithContext(ctx).WithTimeout(time.Minute).Should(BeTrue())
		env.programmed(ctx, "keeping")
		env.known(ctx, "keeping", len(all))
		Expect(env.answering(ctx, caller, "keeping", "-fresh", "-n", "20")).To(Equal(first))
	}, NodeTimeout(2*time.Minute))

	It("is called on the caller's node alone if it says so", func(ctx context.Context) {
		env.policy(ctx, "local", naming("local"))
		env.known(ctx, "local", len(all))
		for i := range env.callers {
			Expect(env.answering(ctx, &env.callers[i], "local", "-fresh", "-n", "20")).To(Equal(names(all[i])))
		}
		By("none on the node: what kube-proxy does without a policy")
		env.serve(ctx, &all[0], "no")
		caller := &env.callers[0]
		fails := func() int {
			return env.call(ctx, caller, env.urlOf("local", "/none"), "-fresh", "-n", "2", "-timeout", "1s").OK
		}
		Eventually(fails).WithContext(ctx).Should(BeZero())
		Expect(env.answering(ctx, &env.callers[1], "local", "-fresh", "-n", "10")).To(Equal(names(all[1])), "on another node")
		env.drop(ctx, "local")
		Eventually(fails).WithContext(ctx).Should(BeZero(), "without a policy, once kube-proxy has followed")
		Consistently(fails, "3s").WithContext(ctx).Should(BeZero(), "without a policy")
	}, NodeTimeout(2*time.Minute))

	It("is called without the endpoint that fails, and never without any (rule 22)", func(ctx context.Context) {
		env.policy(ctx, "judged", naming("plain")+`
loadBalancing: {policy: RoundRobin}
retry: {maxRetries: 0}
circuitBreaker: {consecutiveFailures: 3, scope: Endpoint, open: {duration: 10m, maxDuration: 10m}}
`)
		env.known(ctx, "plain", len(all))
		caller, sick := env.caller(), &all[0]
		env.mode(ctx, sick, "status=500")
		got := env.call(ctx, caller, env.urlOf("plain", "/judged"), "-n", "60")
		Expect(got.Statuses).To(Equal(map[int]int{500: 3, 200: 57}), "%+v", got)
		Eventually(func() string {
			shown, _, _ := unstructured.NestedString(env.get(ctx, "judged").Object, "status", "traffic", "breaker")
			return shown
		}).WithContext(ctx).WithTimeout(15 * time.Second).Should(Equal("Ejected(1)"))

		By("the others go: the last one is called, whatever it answers")
		for i := range all[1:] {
			env.serve(ctx, &all[1+i], "no")
		}
		env.known(ctx, "plain", 1)
		last := env.call(ctx, caller, env.urlOf("plain", "/judged"), "-n", "20")
		Expect(last.Statuses).To(Equal(map[int]int{500: 20}), "%+v", last)
	}, NodeTimeout(2*time.Minute))

	It("is called in the caller's zone if it says so", func(ctx context.Context) {
		env.policy(ctx, "zonal", naming("zonal"))
		env.known(ctx, "zonal", len(all))
		caller := env.caller()
		Expect(env.answering(ctx, caller, "zonal", "-fresh", "-n", "60")).To(HaveLen(len(all)), "before nodes have zones")
		for i := range env.callers {
			env.setZone(ctx, env.callers[i].Spec.NodeName, fmt.Sprintf("zone-%d", i))
		}
		// The cluster looks at the zones of nodes when the endpoints of a Service change.
		for _, serves := range []string{"no", "yes"} {
			for i := range all {
				env.serve(ctx, &all[i], serves)
			}
		}
		for i := range env.callers {
			env.eventuallyAnswers(ctx, &env.callers[i], "zonal", all[i].Name)
		}
		By("a zone without an endpoint")
		env.serve(ctx, &all[0], "no")
		env.eventuallyAnswers(ctx, &env.callers[0], "zonal", names(all[1:]...)...)
	}, NodeTimeout(2*time.Minute))

	It("is left at the pod that was called if it is headless", func(ctx context.Context) {
		env.policy(ctx, "headless", naming("headless"))
		got := env.call(ctx, env.caller(), "http://"+all[0].Status.PodIP+":8080/headless", "-fresh", "-n", "20")
		Expect(slices.Collect(maps.Keys(got.Pods))).To(Equal(names(all[0])))
		Expect(got.OK).To(Equal(20))
	}, NodeTimeout(time.Minute))

	It("has no substitute of the other family for one that does not answer", func(ctx context.Context) {
		env.needIPv6()
		// Where nobody listens, and a server.
		env.applyAll(ctx, fmt.Sprintf(halves, all[0].Status.PodIPs[1].IP, all[0].Status.PodIP))
		env.policy(ctx, "halves", naming("halves"))
		env.known(ctx, "halves", 2)
		var svc corev1.Service
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: env.namespace, Name: "halves"}, &svc)).To(Succeed())
		for _, ip := range svc.Spec.ClusterIPs {
			a := netip.MustParseAddr(ip)
			url := fmt.Sprintf("http://%s/halves", netip.AddrPortFrom(a, 80))
			if a.Is4() {
				Eventually(func() int { return env.call(ctx, env.caller(), url, "-fresh", "-n", "10").OK }).WithContext(ctx).Should(Equal(10))
				continue
			}
			Consistently(func() int { return env.call(ctx, env.caller(), url, "-fresh", "-n", "4", "-timeout", "8s").OK }, "3s").WithContext(ctx).Should(BeZero())
		}
	}, NodeTimeout(2*time.Minute))

	It("is called as elsewhere where the node translates its address", func(ctx context.Context) {
		var svc corev1.Service
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: env.namespace, Name: "plain"}, &svc)).To(Succeed())
		detach, err := socketlbtest.AttachEverywhere(map[netip.AddrPort]netip.AddrPort{
			netip.AddrPortFrom(netip.MustParseAddr(svc.Spec.ClusterIP), 80): netip.AddrPortFrom(netip.MustParseAddr(all[0].Status.PodIP), 8080),
		})
		if err != nil {
			Expect(os.Getenv("REQUIRE_PRIVILEGED")).NotTo(Equal("1"), "%v", err)
			Skip(fmt.Sprintf("NOT RUN: addresses cannot be translated: %v", err))
		}
		DeferCleanup(detach)
		caller := env.caller()
		if got := env.answering(ctx, caller, "plain", "-fresh", "-n", "20"); !slices.Equal(got, names(all[0])) {
			Expect(os.Getenv("REQUIRE_PRIVILEGED")).NotTo(Equal("1"), "%v answered: the address was not translated", got)
			Skip("NOT RUN: the cluster's pods are not on this machine")
		}
		env.policy(ctx, "plain", naming("plain"))
		Eventually(func() []string { return env.answering(ctx, caller, "plain", "-fresh", "-n", "40") }).WithContext(ctx).
			WithTimeout(time.Minute).Should(Equal(names(all...)), "once the agent has found out")
		direct := env.call(ctx, caller, "http://"+all[0].Status.PodIP+":8080/direct", "-fresh", "-n", "20")
		Expect(slices.Collect(maps.Keys(direct.Pods))).To(Equal(names(all[0])), "a pod that was called by its own address")
	}, NodeTimeout(3*time.Minute))
})

// halves is a Service of both families of which one does not answer.
const halves = `
apiVersion: v1
kind: Service
metadata: {name: halves, namespace: NS}
spec: {ipFamilyPolicy: RequireDualStack, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: halves-six, namespace: NS, labels: {kubernetes.io/service-name: halves}}
addressType: IPv6
endpoints: [{addresses: ["%s"]}]
ports: [{port: 9}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: halves-four, namespace: NS, labels: {kubernetes.io/service-name: halves}}
addressType: IPv4
endpoints: [{addresses: ["%s"]}]
ports: [{port: 8080}]
`

func names(pods ...corev1.Pod) []string {
	var out []string
	for i := range pods {
		out = append(out, pods[i].Name)
	}
	slices.Sort(out)
	return out
}

// answering makes calls to a Service and returns the names of the pods that answer.
func (s *environment) answering(ctx context.Context, from *corev1.Pod, service string, flags ...string) []string {
	GinkgoHelper()
	got := s.call(ctx, from, s.urlOf(service, "/"+service), flags...)
	return slices.Sorted(maps.Keys(got.Pods))
}

// eventuallyAnswers waits until exactly these pods answer calls to a Service.
func (s *environment) eventuallyAnswers(ctx context.Context, from *corev1.Pod, service string, pods ...string) {
	GinkgoHelper()
	Eventually(func() []string { return s.answering(ctx, from, service, "-fresh", "-n", "60") }).WithContext(ctx).Should(Equal(pods))
}

// serve reports whether a server is behind the Services.
func (s *environment) serve(ctx context.Context, pod *corev1.Pod, serves string) {
	GinkgoHelper()
	s.label(ctx, pod, "serves", serves)
}

// setZone says in which zone a node is, for the duration of the spec.
func (s *environment) setZone(ctx context.Context, node, zone string) {
	GinkgoHelper()
	n := &corev1.Node{}
	n.Name = node
	s.label(ctx, n, corev1.LabelTopologyZone, zone)
	DeferCleanup(func(ctx context.Context) {
		patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, corev1.LabelTopologyZone))
		Expect(s.k.Patch(ctx, n, patch)).To(Succeed())
	}, NodeTimeout(10*time.Second))
}

// mode has a server answer all calls as a query says, for the duration of the spec.
func (s *environment) mode(ctx context.Context, pod *corev1.Pod, query string) {
	GinkgoHelper()
	ask := func(ctx context.Context, path string) {
		_, err := s.k.exec(ctx, pod, nil, testserver, "get", "http://127.0.0.1:8080"+path)
		Expect(err).NotTo(HaveOccurred())
	}
	ask(ctx, "/_mode?"+query)
	DeferCleanup(func(ctx context.Context) { ask(ctx, "/_reset") }, NodeTimeout(10*time.Second))
}

func (s *environment) label(ctx context.Context, obj client.Object, name, value string) {
	GinkgoHelper()
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, name, value))
	Expect(s.k.Patch(ctx, obj.DeepCopyObject().(client.Object), patch)).To(Succeed())
}
