package e2e

import (
	"context"
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var _ = Describe("protection", func() {
	It("opens the breaker, rejects locally, probes exactly once, and closes (rules 22 and 26)", func(ctx context.Context) {
		env.policy(ctx, "breaker", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
circuitBreaker: {consecutiveFailures: 5, open: {duration: 12s, maxDuration: 12s, jitterPercent: 0}, halfOpen: {probes: 1, successesToClose: 1}}
`)
		from := env.caller()
		broken := env.call(ctx, from, env.url("/breaker?status=500"), "-n", "50")
		Expect(broken.Statuses).To(Equal(map[int]int{500: 5, 503: 45}), "%+v", broken)
		Expect(broken.Reasons).To(Equal(map[string]int{"circuit_open": 45}))
		Expect(env.seen(ctx, "/breaker").Requests).To(Equal(5), "an open breaker spares the upstream")

		By("showing the open breaker in the status")
		Eventually(func() string {
			shown, _, _ := unstructured.NestedString(env.get(ctx, "breaker").Object, "status", "traffic", "breaker")
			return shown
		}).WithContext(ctx).WithTimeout(15*time.Second).Should(HaveSuffix("Open(1)"), "HalfOpen once its time is up, which a late status may show first")

		By("letting exactly one probe through while half-open")
		Eventually(func() int {
			env.call(ctx, from, env.url("/probe?delay=1s&key=probe"), "-n", "20", "-c", "20", "-fresh")
			return env.seen(ctx, "probe").Requests
		}).WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(200 * time.Millisecond).Should(BeNumerically(">", 0))
		probe := env.seen(ctx, "probe")
		Expect(probe.Requests).To(Equal(1), "20 calls at once, one probe: %+v", probe)

		By("closing after the probe succeeded")
		closed := env.call(ctx, from, env.url("/closed"), "-n", "20")
		Expect(closed.OK).To(Equal(20), "%+v", closed)
		Eventually(func() string {
			shown, _, _ := unstructured.NestedString(env.get(ctx, "breaker").Object, "status", "traffic", "breaker")
			return shown
		}).WithContext(ctx).WithTimeout(30 * time.Second).Should(Equal("Closed"))
	}, NodeTimeout(2*time.Minute))

	It("keeps the pool's bounds", func(ctx context.Context) {
		env.policy(ctx, "pool", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
connectionPool: {maxConnections: 3, maxPending: 100, pendingTimeout: 20s}
`)
		before := env.conns(ctx)
		got := env.call(ctx, env.caller(), env.url("/pool?delay=50ms"), "-n", "120", "-c", "24")
		Expect(got.OK).To(Equal(120), "%+v", got)
		Expect(env.seen(ctx, "/pool").MaxConcurrent).To(Equal(3), "24 callers share three connections")
		Expect(env.conns(ctx).TotalOpened-before.TotalOpened).To(BeNumerically("<=", 3+2), "connections are reused (two are the test's own)")

		env.edit(ctx, "pool", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
connectionPool: {maxConnections: 2, maxPending: 4, pendingTimeout: 20s}
`)
		env.programmed(ctx, "pool")
		over := env.call(ctx, env.caller(), env.url("/overflow?delay=500ms"), "-n", "20", "-c", "20")
		Expect(over.Reasons).To(HaveKeyWithValue("pool_overflow", BeNumerically(">", 0)), "%+v", over)
		Expect(over.Statuses[503] + over.OK).To(Equal(20))
		Expect(env.seen(ctx, "/overflow").MaxConcurrent).To(BeNumerically("<=", 2))
	}, NodeTimeout(time.Minute))
})

type conns struct{ Open, MaxOpen, TotalOpened int }

func (s *environment) conns(ctx context.Context) conns {
	GinkgoHelper()
	var got conns
	Expect(json.Unmarshal([]byte(s.control(ctx, "/_conns")), &got)).To(Succeed())
	return got
}
