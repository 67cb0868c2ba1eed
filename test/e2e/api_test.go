package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("the API", func() {
	DescribeTable("refuses bad manifests with a sentence that helps", func(ctx context.Context, spec, sentence string) {
		err := env.tryEdit(ctx, "bad", spec)
		Expect(err).To(MatchError(ContainSubstring(sentence)))
	},
		Entry("an attempt longer than the call", "to: [{any: {}}]\ntimeouts: {perTry: 5s, overall: 1s}",
			"perTry must not be longer than overall: shorten perTry or lengthen overall", NodeTimeout(20*time.Second)),
		Entry("two kinds of destination", "to: [{host: a.example, cidr: {block: 10.0.0.0/8}}]",
			"set exactly one of service, host, cidr and any in each entry of to", NodeTimeout(20*time.Second)),
		Entry("a breaker without a trigger", "to: [{any: {}}]\ncircuitBreaker: {open: {duration: 1s}}",
			"circuitBreaker needs a trigger: set consecutiveFailures, errorRate or slowCalls (or mode: Disabled)", NodeTimeout(20*time.Second)),
		Entry("a wildcard inside a label", "to: [{host: \"a*.example\"}]",
			"a wildcard stands for the whole left-most label: write *.example.com, or * for every host", NodeTimeout(20*time.Second)),
	)

	It("says what has no effect where connections are passed through", func(ctx context.Context) {
		env.policy(ctx, "partial", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}, protocol: TCP}]
observability: {requestHeaders: {attempt: true}}
`)
		status, _, message, _ := condition(env.get(ctx, "partial"), "PartiallyEnforced")
		Expect(status).To(Equal("True"))
		Expect(message).To(ContainSubstring("observability.requestHeaders"))
	}, NodeTimeout(time.Minute))

	It("says which Service is missing, and heals when it appears", func(ctx context.Context) {
		env.edit(ctx, "early", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: late, port: 80}}]
`)
		DeferCleanup(func(ctx context.Context) { env.drop(ctx, "early") }, dropTime)
		Eventually(func(g Gomega) {
			status, _, message, _ := condition(env.get(ctx, "early"), "Accepted")
			g.Expect(status).To(Equal("False"))
			g.Expect(message).To(ContainSubstring("late"))
		}).WithContext(ctx).Should(Succeed())
		env.applyAll(ctx, `
apiVersion: v1
kind: Service
metadata: {name: late, namespace: NS}
spec: {selector: {app: upstream}, ports: [{port: 80, targetPort: 8080}]}
`)
		env.programmed(ctx, "early")
	}, NodeTimeout(time.Minute))

	It("names the older policy when two collide", func(ctx context.Context) {
		env.policy(ctx, "older", healing)
		env.edit(ctx, "younger", healing)
		DeferCleanup(func(ctx context.Context) { env.drop(ctx, "younger") }, dropTime)
		Eventually(func(g Gomega) {
			status, reason, message, _ := condition(env.get(ctx, "younger"), "Accepted")
			g.Expect(status).To(Equal("False"))
			g.Expect(reason).To(Equal("Conflicted"))
			g.Expect(message).To(ContainSubstring("older"))
		}).WithContext(ctx).Should(Succeed())
	}, NodeTimeout(time.Minute))
})
