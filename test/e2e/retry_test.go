package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// healing retries often enough that no spec depends on luck: of calls that run side by side and fail at 30 %, one in some
// thousands fails six times in a row.
const healing = `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 10, when: [ConnectFailure, ResetBeforeRequest, Reset, GatewayError], budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`

var _ = Describe("retries", func() {
	It("heals 30 % failures, and the status says so", func(ctx context.Context) {
		before := env.call(ctx, env.caller(), env.url("/heal-before?failPercent=30"), "-n", "200", "-c", "4")
		Expect(before.OK).To(Equal(140), "without a policy the application sees every failure: %+v", before)

		env.policy(ctx, "heal", healing)
		after := env.call(ctx, env.caller(), env.url("/heal?failPercent=30"), "-n", "400", "-c", "4")
		Expect(after.OK).To(Equal(400), "%+v", after)
		saw := env.seen(ctx, "/heal")
		Expect(saw.Requests).To(BeNumerically(">", 400), "the upstream saw the retries")

		Eventually(func(g Gomega) {
			u := env.get(ctx, "heal")
			requests, _, _ := unstructured.NestedInt64(u.Object, "status", "traffic", "requests")
			retries, _, _ := unstructured.NestedInt64(u.Object, "status", "traffic", "retries")
			healed, _, _ := unstructured.NestedInt64(u.Object, "status", "traffic", "retrySuccesses")
			success, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "traffic", "successPercent")
			g.Expect(requests).To(BeNumerically("==", 400))
			g.Expect(retries).To(BeNumerically("==", saw.Requests-400))
			g.Expect(healed).To(BeNumerically(">", 0))
			g.Expect(fmt.Sprint(success)).To(HavePrefix("100"))
			matched, _, _ := unstructured.NestedInt64(u.Object, "status", "matchedPods")
			g.Expect(matched).To(BeNumerically("==", len(env.callers)))
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(Succeed())
	}, NodeTimeout(2*time.Minute))

	It("works for the pods of every node", func(ctx context.Context) {
		env.policy(ctx, "everywhere", healing)
		cluster.eventuallyOnEveryNode(ctx, "the agents say that they enforce it", func(f *inForce) string {
			if !f.has(policyName{env.namespace, "everywhere"}) {
				return "does not enforce it"
			}
			return ""
		})
		for i := range env.callers {
			c := &env.callers[i]
			got := env.call(ctx, c, env.url("/everywhere-"+c.Spec.NodeName+"?failPercent=30"), "-n", "100")
			Expect(got.OK).To(Equal(100), "caller on %s: %+v", c.Spec.NodeName, got)
		}
	}, NodeTimeout(time.Minute))

	It("never repeats a POST that may have been processed (rule 9)", func(ctx context.Context) {
		env.policy(ctx, "post", healing)
		got := env.call(ctx, env.caller(), env.url("/post?status=503"), "-n", "50", "-method", "POST", "-body", "pay")
		Expect(got.Statuses).To(Equal(map[int]int{503: 50}))
		Expect(env.seen(ctx, "/post").Requests).To(Equal(50))

		got = env.call(ctx, env.caller(), env.url("/post-reset?reset=1"), "-n", "20", "-method", "POST", "-body", "pay")
		Expect(got.OK).To(BeZero())
		Expect(env.seen(ctx, "/post-reset").Requests).To(Equal(20))
	}, NodeTimeout(time.Minute))

	It("repeats a keyed POST, with one key for all its attempts (rule 16)", func(ctx context.Context) {
		env.policy(ctx, "keyed", healing)
		spec := `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 3, when: [GatewayError], idempotency: {mode: IdempotentOrKeyed, generateKey: true}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`
		env.edit(ctx, "keyed", spec)
		env.programmed(ctx, "keyed")
		got := env.call(ctx, env.caller(), env.url("/keyed?failFirst=2"), "-method", "POST", "-body", "pay 7")
		Expect(got.OK).To(Equal(1), "%+v", got)
		saw := env.seen(ctx, "/keyed")
		Expect(saw.Requests).To(Equal(3))
		Expect(saw.Keys).To(HaveLen(1), "every attempt carries the same generated key")
		Expect(saw.Bodies).To(Equal(map[string]int{"pay 7": 3}), "every attempt carries the whole body")

		own := env.call(ctx, env.caller(), env.url("/own-key?failFirst=1"), "-method", "POST", "-header", "Idempotency-Key: order-7")
		Expect(own.OK).To(Equal(1))
		Expect(env.seen(ctx, "/own-key").Keys).To(Equal(map[string]int{"order-7": 2}), "the application's key is kept")
	}, NodeTimeout(time.Minute))

	It("repeats a POST that was provably never sent, at another endpoint (rule 7)", func(ctx context.Context) {
		env.applyAll(ctx, fmt.Sprintf(halfDead, env.upstream.Status.PodIP, env.upstream.Status.PodIP))
		env.policy(ctx, "unsent", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: half-dead, port: 80}}]
loadBalancing: {policy: RoundRobin}
retry: {maxRetries: 2, when: [ConnectFailure], budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`)
		env.known(ctx, "half-dead", 2)
		url := fmt.Sprintf("http://half-dead.%s.svc/unsent", env.namespace)
		got := env.call(ctx, env.caller(), url, "-n", "40", "-method", "POST", "-body", "pay", "-fresh")
		Expect(got.OK).To(Equal(40), "%+v", got)
		Expect(env.seen(ctx, "/unsent").Requests).To(Equal(40), "each POST arrived exactly once")
	}, NodeTimeout(time.Minute))

	It("respects the overall deadline (rule 1)", func(ctx context.Context) {
		env.policy(ctx, "deadline", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
timeouts: {perTry: 300ms, overall: 700ms}
retry: {maxRetries: 10, when: [PerTryTimeout], budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`)
		got := env.call(ctx, env.caller(), env.url("/deadline?delay=5s"), "-n", "4")
		Expect(got.Statuses).To(Equal(map[int]int{504: 4}), "%+v", got)
		Expect(got.MaxMillis).To(BeNumerically("<", 1500), "the deadline covers every attempt and backoff")
		Expect(got.P50Millis).To(BeNumerically(">=", 300), "an attempt may use its time")
		Expect(env.seen(ctx, "/deadline").Requests).To(BeNumerically(">", 4), "timed out attempts are retried within the deadline")
	}, NodeTimeout(time.Minute))

	It("waits as long as Retry-After says (rule 14)", func(ctx context.Context) {
		env.policy(ctx, "after", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 2, when: [GatewayError], retryAfter: {honor: true, max: 5s}}
`)
		got := env.call(ctx, env.caller(), env.url("/after?failFirst=1&retryAfter=1"))
		Expect(got.OK).To(Equal(1))
		Expect(got.MaxMillis).To(BeNumerically(">=", 1000))
		got = env.call(ctx, env.caller(), env.url("/after-long?failFirst=1&retryAfter=60"))
		Expect(got.Statuses).To(Equal(map[int]int{503: 1}), "a longer wish than allowed ends the call with the real response")
		Expect(got.MaxMillis).To(BeNumerically("<", 5000))
	}, NodeTimeout(time.Minute))
})

// halfDead is a Service with one endpoint that answers and one where nothing listens.
const halfDead = `
apiVersion: v1
kind: Service
metadata: {name: half-dead, namespace: NS}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: half-dead-live, namespace: NS, labels: {kubernetes.io/service-name: half-dead}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: half-dead-dead, namespace: NS, labels: {kubernetes.io/service-name: half-dead}}
addressType: IPv4
ports: [{name: http, port: 9, protocol: TCP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}]
`
