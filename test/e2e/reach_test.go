package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("reach", func() {
	It("leaves the source address alone: the server sees the pod's own", func(ctx context.Context) {
		env.policy(ctx, "source", healing)
		for i := range env.callers {
			c := &env.callers[i]
			Expect(env.call(ctx, c, env.url("/source-"+c.Spec.NodeName), "-n", "5", "-fresh").OK).To(Equal(5))
			Expect(env.seen(ctx, "/source-"+c.Spec.NodeName).Remotes).To(Equal(map[string]int{c.Status.PodIP: 5}))
		}
	}, NodeTimeout(time.Minute))

	It("captures IPv6 as it does IPv4", func(ctx context.Context) {
		env.needIPv6()
		env.applyAll(ctx, `
apiVersion: v1
kind: Service
metadata: {name: upstream6, namespace: NS}
spec: {ipFamilies: [IPv6], selector: {app: upstream}, ports: [{port: 80, targetPort: 8080}]}
`)
		env.policy(ctx, "six", strings.Replace(healing, "name: upstream", "name: upstream6", 1))
		env.known(ctx, "upstream6", 1)
		url := fmt.Sprintf("http://upstream6.%s.svc/six?failPercent=30", env.namespace)
		got := env.call(ctx, env.caller(), url, "-n", "50", "-fresh")
		Expect(got.OK).To(Equal(50), "%+v", got)
		Expect(env.seen(ctx, "/six").Remotes).To(HaveKey(env.caller().Status.PodIPs[1].IP), "the pod's own IPv6 address")
	}, NodeTimeout(time.Minute))

	It("adds nothing to a request unless the policy says so", func(ctx context.Context) {
		env.policy(ctx, "clean", healing)
		Expect(env.call(ctx, env.caller(), env.url("/clean"), "-header", "X-Odd: a").OK).To(Equal(1))
		enforced := env.seen(ctx, "/clean").LastHeader
		env.drop(ctx, "clean")
		Expect(env.call(ctx, env.caller(), env.url("/plain"), "-header", "X-Odd: a").OK).To(Equal(1))
		Expect(enforced).To(Equal(env.seen(ctx, "/plain").LastHeader))
	}, NodeTimeout(time.Minute))

	It("passes traffic that no policy names byte for byte", func(ctx context.Context) {
		// Port 7070 echoes; the policy names another host on that port, so the connection is captured and matches nothing.
		env.policy(ctx, "unmatched", `
podSelector: {matchLabels: {app: caller}}
to: [{host: elsewhere.example, ports: [7070]}]
retry: {maxRetries: 2}
`)
		odd := "GET  /odd HTTP/1.1\r\nhost:x\r\nHOST : y\n\x00\xff" + strings.Repeat("binary\x01", 20000)
		addr := fmt.Sprintf("upstream.%s.svc:7070", env.namespace)
		Expect(env.raw(ctx, env.caller(), addr, strings.NewReader(odd))).To(Equal(odd))

		valid := "GET /valid HTTP/1.1\r\nHost: nobody.example\r\nx-Case:  Kept \r\n\r\n"
		Expect(env.raw(ctx, env.caller(), addr, strings.NewReader(valid))).To(Equal(valid))
	}, NodeTimeout(time.Minute))

	It("governs an external host by its Host header, and addresses by CIDR", func(ctx context.Context) {
		ip := env.upstream.Status.PodIP
		env.policy(ctx, "host", `
podSelector: {matchLabels: {app: caller}}
to: [{host: "*.partner.example", ports: [8080]}]
retry: {maxRetries: 5, when: [GatewayError], budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`)
		target := fmt.Sprintf("http://%s:8080/by-host?failPercent=50", ip)
		Expect(env.call(ctx, env.caller(), target, "-n", "20", "-fresh").OK).To(Equal(10), "another host is not governed")
		named := env.call(ctx, env.caller(), target, "-n", "20", "-header", "Host: api.partner.example", "-fresh")
		Expect(named.OK).To(Equal(20), "%+v", named)
		env.drop(ctx, "host")

		env.policy(ctx, "cidr", fmt.Sprintf(`
podSelector: {matchLabels: {app: caller}}
to: [{cidr: {block: %s/32, ports: [8080]}}]
retry: {maxRetries: 5, when: [GatewayError], budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`, ip))
		target = fmt.Sprintf("http://%s:8080/by-cidr?failPercent=50", ip)
		blocked := env.call(ctx, env.caller(), target, "-n", "20", "-fresh")
		Expect(blocked.OK).To(Equal(20), "%+v", blocked)
	}, NodeTimeout(time.Minute))

	It("leaves pods alone that no policy selects, and those of a disabled policy", func(ctx context.Context) {
		env.policy(ctx, "nobody", strings.Replace(healing, "app: caller", "app: nobody", 1))
		Expect(env.call(ctx, env.caller(), env.url("/nobody?failPercent=50"), "-n", "20").OK).To(Equal(10))
		env.policy(ctx, "disabled", healing+"mode: Disabled\n")
		Expect(env.call(ctx, env.caller(), env.url("/disabled?failPercent=50"), "-n", "20").OK).To(Equal(10))
	}, NodeTimeout(time.Minute))
})
