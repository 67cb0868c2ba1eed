package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// bundlesPolicy verifies a server with one bundle over both versions of HTTP, and another server with another bundle.
const bundlesPolicy = `
podSelector: {matchLabels: {app: programs}}
to:
- {host: nginx-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: edited-ca}}}
- {host: nginx-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: edited-ca}}}
- {host: haproxy-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: other-ca}}}
retry: {maxRetries: 0}
`

var _ = Describe("a bundle of CAs", func() {
	It("is edited under load, over HTTP/1.1 and HTTP/2, without failing a call", func(ctx context.Context) {
		p := newPrograms(ctx)
		right, other := env.certificate["ca.crt"], newAuthority("another CA of the stories").files()["ca.crt"]
		write := func(name, bundle string) {
			GinkgoHelper()
			p.applyObjects(ctx, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": p.namespace},
				"data": map[string]string{"ca.crt": bundle}})
		}
		write("edited-ca", right)
		write("other-ca", other)
		p.policy(ctx, "bundles", bundlesPolicy)
		url := func(server string, port int) string { return fmt.Sprintf("http://%s:%d/bundle", p.name(server), port) }
		statuses := func(server string, port int, flags ...string) func() map[int]int {
			return func() map[int]int { return p.call(ctx, p.client, url(server, port), flags...).Statuses }
		}
		Expect(statuses("haproxy-tls", 80)()).To(Equal(map[int]int{502: 1}), "the other server is not verified")

		const long = 10 * time.Second
		end := time.Now().Add(long)
		first := p.load(ctx, p.client, url("nginx-tls", 80), long, "-gap", "5ms")
		second := p.load(ctx, p.client, url("nginx-tls", 81), long, "-gap", "5ms", "-http2")
		write("edited-ca", other+right)
		write("other-ca", right)
		Eventually(statuses("haproxy-tls", 80)).WithContext(ctx).Should(Equal(map[int]int{200: 1}), "the edits are in force")
		Expect(time.Now().Before(end)).To(BeTrue(), "they were in force after the load, and so nothing is known")
		for version, load := range map[string]func() summary{"HTTP/1.1": first, "HTTP/2": second} {
			sum := load()
			Expect(sum.Calls).To(BeNumerically(">", 20), version)
			Expect(sum.OK).To(Equal(sum.Calls), "%s: %+v", version, sum)
		}

		By("trusting the server's CA no more")
		write("edited-ca", other)
		Eventually(statuses("nginx-tls", 80)).WithContext(ctx).Should(Equal(map[int]int{502: 1}))
		Eventually(statuses("nginx-tls", 81, "-http2")).WithContext(ctx).Should(Equal(map[int]int{502: 1}))
	}, NodeTimeout(4*time.Minute))
})
