package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("slow and failing upstreams", func() {
	It("bounds attempts by what others took, starts one beside a slow one, and answers by itself", func(ctx context.Context) {
		env.policy(ctx, "latency", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
rules:
- {name: adaptive, match: [{path: {value: /adaptive}}], timeouts: {adaptive: {min: 500ms, max: 1m}}, retry: {maxRetries: 1, when: [PerTryTimeout]}}
- {name: hedged, match: [{path: {value: /hedged}}], retry: {hedging: {delay: 200ms}}}
- name: fallback
  match: [{path: {value: /fallback}}]
  retry: {maxRetries: 0}
  circuitBreaker: {consecutiveFailures: 3, open: {duration: 5m}}
  fallback: {response: {statusCode: 203, headers: [{name: Content-Type, value: application/json}], body: '{"why":"%REASON%"}'}}
`)
		from := env.caller()
		known := env.call(ctx, from, env.url("/adaptive?key=adaptive"), "-n", "30")
		Expect(known.OK).To(Equal(30), "%+v", known)
		slow := env.call(ctx, from, env.url("/adaptive?key=adaptive&delay=1h&delayFirst=31"))
		Expect(slow.OK).To(Equal(1), "%+v", slow)
		Expect(env.seen(ctx, "adaptive").Requests).To(Equal(32), "the slow attempt was ended long before a minute, and another one made")

		By("starting an attempt beside one that is not answered")
		hedged := env.call(ctx, from, env.url("/hedged?key=hedged&delay=1h&delayFirst=1"))
		Expect(hedged.OK).To(Equal(1), "%+v", hedged)
		Expect(env.seen(ctx, "hedged").Requests).To(Equal(2))
		unsafe := env.call(ctx, from, env.url("/hedged?key=unsafe&delay=1s"), "-method", "POST", "-body", "pay")
		Expect(unsafe.OK).To(Equal(1), "%+v", unsafe)
		Expect(env.seen(ctx, "unsafe").Requests).To(Equal(1), "what must not be repeated is sent once")

		By("answering in place of an upstream that fails")
		failed := env.call(ctx, from, env.url("/fallback?key=fallback&status=500"), "-n", "10")
		Expect(failed.Statuses).To(Equal(map[int]int{203: 10}), "%+v", failed)
		Expect(failed.Reasons).To(Equal(map[string]int{"upstream_failure": 3, "circuit_open": 7}))
		Expect(failed.LastBody).To(Equal(`{"why":"circuit_open"}`))
		Expect(env.seen(ctx, "fallback").Requests).To(Equal(3))
	}, NodeTimeout(2*time.Minute))
})
