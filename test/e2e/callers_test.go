package e2e

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// agentFlags has the agents run with these flags more until the spec ends.
func (k *kube) agentFlags(ctx context.Context, flags ...string) {
	GinkgoHelper()
	d := &appsv1.DaemonSet{}
	Expect(k.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: agentName}, d)).To(Succeed())
	before := d.Spec.Template.Spec.Containers[0].Args
	k.setAgentArgs(ctx, d, append(before[:len(before):len(before)], flags...))
	DeferCleanup(func(ctx context.Context) { k.setAgentArgs(ctx, d, before) }, NodeTimeout(3*time.Minute))
}

// setAgentArgs rolls the agents over and waits until the new ones are ready.
func (k *kube) setAgentArgs(ctx context.Context, d *appsv1.DaemonSet, args []string) {
	GinkgoHelper()
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}})
	Expect(err).NotTo(HaveOccurred())
	Expect(k.Patch(ctx, d, client.RawPatch(types.JSONPatchType, patch))).To(Succeed())
	Eventually(func(g Gomega) {
		agents := readyPods(k.agents(ctx))
		g.Expect(agents).To(HaveLen(len(k.nodes(ctx))))
		for i := range agents {
			g.Expect(agents[i].Spec.Containers[0].Args).To(Equal(args))
		}
	}).WithContext(ctx).WithTimeout(2 * time.Minute).Should(Succeed())
}

var _ = Describe("whose calls they are", Ordered, func() {
	var carts []corev1.Pod

	BeforeAll(func(ctx context.Context) {
		env.applyAll(ctx, deployment("cart", 2, "serve"))
		DeferCleanup(func(ctx context.Context) {
			d := &appsv1.Deployment{}
			d.Namespace, d.Name = env.namespace, "cart"
			_ = cluster.Delete(ctx, d)
		}, NodeTimeout(time.Minute))
		Eventually(func() int {
			carts = readyPods(cluster.pods(ctx, env.namespace, client.MatchingLabels{"app": "cart"}))
			return len(carts)
		}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(2))
	}, NodeTimeout(2*time.Minute))

	const governed = `
podSelector: {matchExpressions: [{key: app, operator: In, values: [caller, cart]}]}
to: [{service: {name: upstream, port: 80}}]
observability: {accessLog: All}
`

	It("is in the access log: a Deployment's pods, and a DaemonSet's", func(ctx context.Context) {
		env.policy(ctx, "whose", governed)
		for _, from := range []*corev1.Pod{&carts[0], &carts[1], env.caller()} {
			want := "Deployment/cart"
			if from == env.caller() {
				want = "DaemonSet/caller"
			}
			path := "/whose-" + from.Name
			Expect(env.call(ctx, from, env.url(path)).OK).To(Equal(1))
			Expect(env.seen(ctx, path).Requests).To(Equal(1))
			Eventually(func() string { return cluster.logs(ctx, cluster.agentOn(ctx, from.Spec.NodeName)) }).WithContext(ctx).
				Should(MatchRegexp(`"pod":"%s/%s","workload":"%s".*"path":"%s"`, env.namespace, from.Name, want, path))
		}
	}, NodeTimeout(2*time.Minute))

	It("is in metrics where the agents are started so: pods of one Deployment are one caller", func(ctx context.Context) {
		cluster.agentFlags(ctx, "--metrics-caller-label")
		cluster.waitForFairlead(ctx)
		env.policy(ctx, "counted", governed)
		counted := func(workload string) int {
			sum := 0
			for _, node := range cluster.nodes(ctx) {
				sum += cluster.metric(ctx, node.Name, "fairlead_proxy_requests_total", `policy="`+env.namespace+`/counted"`,
					`caller_namespace="`+env.namespace+`"`, `caller_workload="`+workload+`"`)
			}
			return sum
		}
		for from, n := range map[*corev1.Pod]int{&carts[0]: 3, &carts[1]: 4, env.caller(): 5} {
			app := from.Labels["app"]
			// Until its node's new agent has the pod, its calls are counted by the old one, or go directly.
			Eventually(func() int {
				before := counted(app)
				Expect(env.call(ctx, from, env.url("/warm-up"), "-fresh").OK).To(Equal(1))
				return counted(app) - before
			}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(1), from.Name)
			was := counted(app)
			Expect(env.call(ctx, from, env.url("/counted"), "-n", strconv.Itoa(n)).OK).To(Equal(n))
			Eventually(func() int { return counted(app) - was }).WithContext(ctx).Should(Equal(n), from.Name)
		}
		Expect(env.seen(ctx, "/counted").Requests).To(Equal(12))
	}, NodeTimeout(6*time.Minute))
})
