package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rehearsed is a policy that would do much.
func rehearsed(mode string) string {
	return fmt.Sprintf(`
mode: %s
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 2, when: [GatewayError], backoff: {strategy: Fixed, initialInterval: 1ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
circuitBreaker: {consecutiveFailures: 5, open: {duration: 10m, maxDuration: 10m, jitterPercent: 0}}
rateLimit: {requests: 1, per: 1h, burst: 21}
`, mode)
}

// passing is what belongs to the time and the connection of an answer, not to the answer: two fields, and the caller's port, with which the body ends.
var passing = regexp.MustCompile(`(?m)^(Date|Connection): .*\r\n|:\d{5}\n\z`)

var _ = Describe("a dry run", func() {
	It("says what would have been done, and does none of it", func(ctx context.Context) {
		const exact = "GET /exact?status=404 HTTP/1.1\r\nHost: upstream\r\nX-Odd:  two  blanks\r\nx-odd: b\r\nConnection: close\r\n\r\n"
		ask := func() (answer string, header map[string][]string) {
			GinkgoHelper()
			answer = passing.ReplaceAllString(env.raw(ctx, env.caller(), env.name("upstream")+":80", strings.NewReader(exact)), "")
			header = env.seen(ctx, "/exact").LastHeader
			delete(header, "Connection")
			return answer, header
		}
		answer, header := ask()
		Expect(answer).To(HavePrefix("HTTP/1.1 404 "))
		env.policy(ctx, "rehearsed", rehearsed("DryRun"))
		governed, governedHeader := ask()
		Expect(governed).To(Equal(answer), "byte by byte")
		Expect(governedHeader).To(Equal(header))

		By("calling a server that fails, which a breaker would have opened for and a limit would have held back from")
		down := env.call(ctx, env.caller(), env.url("/rehearsed-down?status=503"), "-n", "12")
		Expect(down.Statuses).To(Equal(map[int]int{503: 12}), "%+v", down)
		Expect(down.Reasons).To(BeEmpty())
		well := env.call(ctx, env.caller(), env.url("/rehearsed-well"), "-n", "18")
		Expect(well.OK).To(Equal(18), "%+v", well)
		Expect(env.seen(ctx, "/rehearsed-down").Requests).To(Equal(12), "each call comes once")
		Expect(env.seen(ctx, "/rehearsed-well").Requests).To(Equal(18))

		By("looking at what is said of that")
		Eventually(func() map[string]any {
			figures, _, _ := unstructured.NestedMap(env.get(ctx, "rehearsed").Object, "status", "traffic", "dryRun")
			return figures
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(Equal(map[string]any{
			"calls": int64(31), "retried": int64(5), "circuitOpen": int64(15), "limited": int64(10), "breakersOpened": int64(1), "breakersOpen": int64(1),
		}))
		status, _, message, _ := condition(env.get(ctx, "rehearsed"), "DryRun")
		Expect(status).To(Equal("True"))
		Expect(message).To(ContainSubstring("Of 31 calls within the last minute: 5 would have been retried"))
		node, policy := env.caller().Spec.NodeName, fmt.Sprintf("policy=%q", env.namespace+"/rehearsed")
		for would, n := range map[string]int{"same": 1, "retry": 5, "circuit_open": 15, "limit": 10} {
			Expect(cluster.metric(ctx, node, "fairlead_dry_run_decisions_total", policy, fmt.Sprintf("would=%q", would))).To(Equal(n), would)
		}
		Expect(cluster.metric(ctx, node, "fairlead_dry_run_breaker_open", policy)).To(Equal(1))
		Eventually(func() []string { return env.eventsOf(ctx, "rehearsed") }).WithContext(ctx).Should(ContainElements("DryRunDiffers", "DryRunBreakerOpened"))

		By("putting it in force")
		env.edit(ctx, "rehearsed", rehearsed("Enforce"))
		env.programmed(ctx, "rehearsed")
		Expect(env.call(ctx, env.caller(), env.url("/performed?failFirst=2"), "-n", "1").OK).To(Equal(1))
		Expect(env.seen(ctx, "/performed").Requests).To(Equal(3))
	}, NodeTimeout(3*time.Minute))
})

// eventsOf returns the reasons of the Events about a policy.
func (s *environment) eventsOf(ctx context.Context, policy string) (reasons []string) {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(s.k.List(ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	for i := range list.Items {
		if list.Items[i].Regarding.Name == policy {
			reasons = append(reasons, list.Items[i].Reason)
		}
	}
	return reasons
}
