package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("fault injection", func() {
	It("keeps calls from their destination until its time is over, though no manager is there to end it", func(ctx context.Context) {
		const base = `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 1, when: [ServerError]}
`
		env.policy(ctx, "tested", base)
		Expect(env.call(ctx, env.caller(), env.url("/faults-before"), "-n", "3").OK).To(Equal(3))
		until := time.Now().Add(30 * time.Second).UTC().Truncate(time.Second)
		env.edit(ctx, "tested", base+fmt.Sprintf(`
faults: {until: %q, percent: 100, delay: {duration: 20ms}, abort: {type: Response, statusCode: 503}}
`, until.Format(time.RFC3339)))
		Eventually(func() map[string]int {
			return env.call(ctx, env.caller(), env.url("/faults-begins"), "-n", "1").Reasons
		}).
			WithContext(ctx).WithTimeout(10 * time.Second).WithPolling(200 * time.Millisecond).Should(HaveKey("fault_injected"))
		Eventually(func() string {
			status, reason, message, _ := condition(env.get(ctx, "tested"), "FaultsActive")
			return status + " " + reason + " " + message
		}).WithContext(ctx).WithTimeout(10 * time.Second).Should(And(HavePrefix("True FaultsInjected"), ContainSubstring(until.Format(time.RFC3339))))
		got := env.call(ctx, env.caller(), env.url("/faults-meanwhile"), "-n", "5")
		Expect(got.Statuses).To(Equal(map[int]int{503: 5}), "%+v", got)
		Expect(env.seen(ctx, "/faults-meanwhile").Requests).To(BeZero())

		By("ending without a manager")
		cluster.scaleManager(ctx, 0)
		DeferCleanup(func(ctx context.Context) {
			cluster.scaleManager(ctx, 1)
			cluster.waitForFairlead(ctx)
		}, NodeTimeout(2*time.Minute))
		Eventually(func() int { return env.call(ctx, env.caller(), env.url("/faults-over"), "-n", "1").OK }).
			WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Equal(1))
		Expect(time.Now()).To(BeTemporally(">=", until.Add(-time.Second)))
		Expect(env.call(ctx, env.caller(), env.url("/faults-over"), "-n", "10").OK).To(Equal(10))

		By("saying that it is over when there is one again")
		cluster.scaleManager(ctx, 1)
		Eventually(func() string {
			status, _, _, _ := condition(env.get(ctx, "tested"), "FaultsActive")
			return status
		}).WithContext(ctx).WithTimeout(time.Minute).Should(BeEmpty())
	}, NodeTimeout(4*time.Minute))
})
