package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var _ = Describe("limits", func() {
	It("lets no more calls start than the rate has it, and says when to come again", func(ctx context.Context) {
		env.policy(ctx, "rate", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
rateLimit: {requests: 1, per: 1h, burst: 7, scope: Node}
`)
		got := env.call(ctx, env.caller(), env.url("/rate"), "-n", "60", "-c", "6")
		Expect(got.Statuses).To(Equal(map[int]int{200: 7, 429: 53}), "%+v", got)
		Expect(got.Reasons).To(Equal(map[string]int{"rate_limited": 53}))
		Expect(env.seen(ctx, "/rate").Requests).To(Equal(7))
		Eventually(func() int64 {
			n, _, _ := unstructured.NestedInt64(env.get(ctx, "rate").Object, "status", "traffic", "rateLimited")
			return n
		}).WithContext(ctx).WithTimeout(30 * time.Second).Should(BeNumerically("==", 53))

		By("letting calls wait for their turn")
		env.edit(ctx, "rate", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
rateLimit: {requests: 20, per: 1s, burst: 1, scope: Node, onLimit: Queue, maxWait: 20s}
concurrency: {max: 3, maxQueued: 100, maxWait: 20s}
`)
		env.programmed(ctx, "rate")
		began := time.Now()
		waited := env.call(ctx, env.caller(), env.url("/turns?delay=100ms"), "-n", "30", "-c", "10")
		Expect(waited.OK).To(Equal(30), "%+v", waited)
		Expect(time.Since(began)).To(BeNumerically(">=", 29*50*time.Millisecond))
		Expect(env.seen(ctx, "/turns").MaxConcurrent).To(BeNumerically("<=", 3))
	}, NodeTimeout(2*time.Minute))
})
