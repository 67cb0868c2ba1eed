package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const brokenService = `
apiVersion: v1
kind: Service
metadata: {name: broken, namespace: NS}
spec: {selector: {app: upstream}, ports: [{name: http, port: 80, targetPort: 8099}]}
`

var _ = Describe("fallback", func() {
	It("has a Service in another namespace answer for one that cannot be reached", func(ctx context.Context) {
		standby := &environment{k: env.k, namespace: env.namespace + "-standby"}
		DeferCleanup(standby.clear)
		standby.applyAll(ctx, environmentServices+deployment("upstream", 1, "serve"))
		env.applyAll(ctx, brokenService)
		serving := client.MatchingLabels{"app": "upstream"}
		Eventually(func() int { return len(readyPods(env.k.pods(ctx, standby.namespace, serving))) }).
			WithContext(ctx).WithTimeout(time.Minute).Should(Equal(1), "a ready standby")
		standby.upstream = &readyPods(env.k.pods(ctx, standby.namespace, serving))[0]
		env.policy(ctx, "standby", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: broken, port: 80}}]
retry: {maxRetries: 0}
circuitBreaker: {consecutiveFailures: 5, open: {duration: 60s}}
fallback: {destination: {service: {name: upstream, namespace: `+standby.namespace+`, port: http}}}
`)
		got := env.call(ctx, env.caller(), "http://broken."+env.namespace+".svc/falls-back", "-n", "20")
		Expect(got.OK).To(Equal(20), "%+v", got)
		Expect(standby.seen(ctx, "/falls-back").Requests).To(Equal(20), "each call is made there once")

		By("saying so when there is no such Service any more, and going on")
		env.edit(ctx, "standby", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: broken, port: 80}}]
fallback: {destination: {service: {name: gone, namespace: `+standby.namespace+`}}}
`)
		Eventually(func() string {
			_, reason, _, _ := condition(env.get(ctx, "standby"), "Accepted")
			return reason
		}).WithContext(ctx).WithTimeout(15 * time.Second).Should(Equal("ServiceNotFound"))
		got = env.call(ctx, env.caller(), "http://broken."+env.namespace+".svc/goes-on", "-n", "5")
		Expect(got.OK).To(Equal(5), "the last good version stays in force: %+v", got)
	}, NodeTimeout(2*time.Minute))
})
