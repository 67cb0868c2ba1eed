package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// sharedQuota is the sample for the callers of these stories and their upstream.
func sharedQuota() (spec string, rate, burst float64) {
	GinkgoHelper()
	p := sample("shared-quota.yaml").Object["spec"].(map[string]any)
	p["podSelector"] = map[string]any{"matchLabels": map[string]any{"app": "caller"}}
	p["to"] = []any{map[string]any{"service": map[string]any{"name": "upstream", "port": 80}, "protocol": "HTTP"}}
	l := p["rateLimit"].(map[string]any)
	Expect(l["scope"]).To(Equal("Cluster"))
	Expect(l).NotTo(HaveKey("per"))
	b, err := yaml.Marshal(p)
	Expect(err).NotTo(HaveOccurred())
	number := func(v any) (f float64) {
		_, err := fmt.Sscan(fmt.Sprint(v), &f)
		Expect(err).NotTo(HaveOccurred())
		return f
	}
	return string(b), number(l["requests"]), number(l["burst"])
}

var _ = Describe("a limit that the cluster shares", func() {
	It("holds the pods of all nodes together to one rate, wherever the demand is", func(ctx context.Context) {
		Expect(len(env.callers)).To(BeNumerically(">=", 3), "nodes")
		spec, rate, burst := sharedQuota()
		env.policy(ctx, "shared", spec)

		// holdWhile has pods call much more often than they may, and something happen meanwhile, and counts at the upstream what comes of it.
		phase := 0
		holdWhile := func(what string, least float64, stretch time.Duration, meanwhile func(key string), from ...*corev1.Pod) {
			GinkgoHelper()
			By(what)
			phase++
			key := fmt.Sprintf("/shared-%d", phase)
			began := time.Now()
			var all []func() summary
			for _, pod := range from {
				all = append(all, env.load(ctx, pod, env.url(key), stretch, "-c", "6", "-gap", "20ms"))
			}
			meanwhile(key)
			calls := 0
			for _, wait := range all {
				sum := wait()
				calls += sum.Calls
				Expect(sum.OK+sum.Statuses[429]).To(Equal(sum.Calls), "%+v", sum)
			}
			elapsed := time.Since(began).Seconds()
			n := float64(env.seen(ctx, key).Requests)
			// A quarter of a second's worth, and a call for each node, while shares move; time may have been longer than calls came, never shorter.
			Expect(n).To(BeNumerically("<=", burst+rate*(elapsed+0.25)+float64(len(env.callers))), "%d calls, %v s", calls, elapsed)
			// A busy machine may make calls late: how much of the rate is of use is counted exactly where time is simulated.
			if float64(calls) > 3*rate*stretch.Seconds() {
				Expect(n).To(BeNumerically(">=", least*rate*stretch.Seconds()), "%d calls, %v s", calls, elapsed)
			}
		}
		// Within these 10 s shares come to follow the demand, which takes up to 2 s of them; the burst makes up for a part.
		hold := func(what string, least float64, from ...*corev1.Pod) {
			GinkgoHelper()
			holdWhile(what, least, 10*time.Second, func(string) {}, from...)
		}
		a, b, c := &env.callers[0], &env.callers[1], &env.callers[2]
		hold("all nodes calling", 0.9, a, b, c)
		hold("all demand on one node", 0.8, a)
		hold("the demand moving to another node", 0.8, b)

		// follows waits until shares have followed the demand: calls have started for 5 s at the whole rate.
		follows := func(key string) {
			GinkgoHelper()
			Eventually(func() float64 { return float64(env.seen(ctx, key).Requests) }).WithContext(ctx).WithTimeout(30 * time.Second).
				Should(BeNumerically(">=", burst+5*rate))
		}
		DeferCleanup(func(ctx context.Context) {
			cluster.scaleManager(ctx, 1)
			cluster.waitForFairlead(ctx)
		}, NodeTimeout(2*time.Minute))
		holdWhile("the manager going away: the last shares hold", 0.9, 30*time.Second, func(key string) {
			follows(key)
			cluster.scaleManager(ctx, 0)
		}, b)
		hold("calls without a manager", 0.9, b)
		holdWhile("another manager coming: it takes nothing away", 0.9, 30*time.Second, func(string) {
			cluster.scaleManager(ctx, 1)
			cluster.waitForFairlead(ctx)
		}, b)
		hold("the demand moving under the new manager", 0.7, c)
		status, _, message, _ := condition(env.get(ctx, "shared"), "PartiallyEnforced")
		Expect(status).NotTo(Equal("True"), message)
	}, NodeTimeout(5*time.Minute))
})
