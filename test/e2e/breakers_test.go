package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("circuit breakers of the cluster", func() {
	It("open on every node when two see the destination down, and one node probes for all", func(ctx context.Context) {
		Expect(len(env.callers)).To(BeNumerically(">=", 3), "two of three nodes are to agree")
		env.policy(ctx, "together", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
circuitBreaker: {consecutiveFailures: 5, open: {duration: 10s, maxDuration: 10s, jitterPercent: 0}, sharing: Cluster}
`)
		one, two, three := &env.callers[0], &env.callers[1], &env.callers[2]
		By("keeping one node's trouble to itself")
		Expect(env.call(ctx, two, env.url("/well"), "-n", "5").OK).To(Equal(5))
		Expect(env.call(ctx, three, env.url("/well"), "-n", "5").OK).To(Equal(5))
		alone := env.call(ctx, one, env.url("/alone?status=500"), "-n", "20")
		Expect(alone.Statuses).To(Equal(map[int]int{500: 5, 503: 15}), "%+v", alone)
		Consistently(func() int { return env.call(ctx, three, env.url("/well"), "-n", "1").OK }).
			WithContext(ctx).WithTimeout(3 * time.Second).WithPolling(500 * time.Millisecond).Should(Equal(1))

		By("opening everywhere when a second node sees it")
		Eventually(func() int { return env.call(ctx, one, env.url("/well"), "-n", "1").OK }).
			WithContext(ctx).WithTimeout(20*time.Second).WithPolling(time.Second).Should(Equal(1), "the first node's own breaker closes")
		env.call(ctx, one, env.url("/both?status=500"), "-n", "6")
		env.call(ctx, two, env.url("/both?status=500"), "-n", "6")
		Eventually(func() map[string]int { return env.call(ctx, three, env.url("/third"), "-n", "1").Reasons }).
			WithContext(ctx).WithTimeout(5 * time.Second).WithPolling(100 * time.Millisecond).Should(HaveKey("circuit_open"))

		By("probing with one call of the whole cluster")
		var loads []func() summary
		for i := range env.callers {
			loads = append(loads, env.load(ctx, &env.callers[i], env.url("/probe?delay=3s&key=probes"), 11*time.Second, "-c", "2"))
		}
		Eventually(func() int { return env.seen(ctx, "probes").Requests }).
			WithContext(ctx).WithTimeout(20 * time.Second).WithPolling(100 * time.Millisecond).Should(BeNumerically(">", 0))
		Expect(env.seen(ctx, "probes").MaxConcurrent).To(Equal(1), "while it is half-open")
		for _, wait := range loads {
			wait()
		}
		Eventually(func() bool {
			for i := range env.callers {
				if env.call(ctx, &env.callers[i], env.url("/back"), "-n", "1").OK != 1 {
					return false
				}
			}
			return true
		}).WithContext(ctx).WithTimeout(20 * time.Second).Should(BeTrue())
	}, NodeTimeout(3*time.Minute))
})

var _ = Describe("a circuit breaker by hand", func() {
	It("is open on every node until its time is over, though the policy has none", func(ctx context.Context) {
		env.policy(ctx, "by-hand", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
`)
		Expect(env.call(ctx, env.caller(), env.url("/before"), "-n", "3").OK).To(Equal(3))
		until := time.Now().Add(15 * time.Second).UTC().Truncate(time.Second)
		u := env.get(ctx, "by-hand")
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"policy.fairlead.dev/circuit-breaker":"open until %s"}}}`, until.Format(time.RFC3339))
		Expect(env.k.Patch(ctx, u, client.RawPatch("application/merge-patch+json", []byte(patch)), client.FieldOwner("somebody"))).To(Succeed())
		Eventually(func() map[string]int { return env.call(ctx, env.caller(), env.url("/meanwhile"), "-n", "1").Reasons }).
			WithContext(ctx).WithTimeout(10 * time.Second).WithPolling(200 * time.Millisecond).Should(HaveKey("circuit_open"))
		Eventually(func() string {
			status, reason, message, _ := condition(env.get(ctx, "by-hand"), "BreakerForced")
			return status + " " + reason + " " + message
		}).WithContext(ctx).WithTimeout(10 * time.Second).Should(And(HavePrefix("True ForcedOpen"), ContainSubstring("somebody")))
		reached := env.seen(ctx, "/meanwhile").Requests
		Eventually(func() int { return env.call(ctx, env.caller(), env.url("/released"), "-n", "1").OK }).
			WithContext(ctx).WithTimeout(40 * time.Second).WithPolling(500 * time.Millisecond).Should(Equal(1))
		Expect(time.Now()).To(BeTemporally(">=", until.Add(-time.Second)))
		Expect(env.seen(ctx, "/meanwhile").Requests).To(Equal(reached))
	}, NodeTimeout(2*time.Minute))
})
