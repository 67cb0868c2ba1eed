package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a body of 100 MiB", Ordered, ContinueOnFailure, func() {
	const size = 100 << 20
	var p *programs
	var sum string

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		h := sha256.New()
		_, err := io.CopyN(h, rand.NewChaCha8([32]byte{}), size)
		Expect(err).NotTo(HaveOccurred())
		sum = hex.EncodeToString(h.Sum(nil))
		p.policy(ctx, "bulk", `
podSelector: {matchLabels: {app: programs}}
to:
- service: {name: nginx}
- service: {name: haproxy}
- {host: nginx-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: nginx-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
retry: {maxRetries: 2, when: [ConnectFailure, Reset, GatewayError]}
`)
		p.known(ctx, "nginx", 1)
		p.known(ctx, "haproxy", 1)
	}, NodeTimeout(4*time.Minute))

	DescribeTable("arrives whole in both directions", func(ctx context.Context, server, version, flag string) {
		url := fmt.Sprintf("http://%s:%s/_bulk", p.name(server), port(version))
		before := p.tries(ctx, "bulk")
		curl := []string{"curl", "-sS", "-f", flag}
		p.run(ctx, append(slices.Clone(curl), "-o", "/scratch/bulk", fmt.Sprintf("%s?bytes=%d", url, size))...)
		Expect(p.run(ctx, "sha256sum", "/scratch/bulk")).To(ConsistOf(HavePrefix(sum)), "downloaded")
		Expect(p.run(ctx, append(slices.Clone(curl), "-T", "/scratch/bulk", url)...)).To(Equal([]string{sum}), "uploaded")
		Eventually(func() int { return p.tries(ctx, "bulk") - before }).WithContext(ctx).Should(Equal(2), "as the agent has counted")
	},
		Entry("to nginx, HTTP/1.1", "nginx", "1.1", "--http1.1", NodeTimeout(2*time.Minute)),
		Entry("to nginx, HTTP/2", "nginx", "2", "--http2-prior-knowledge", NodeTimeout(2*time.Minute)),
		Entry("to haproxy, HTTP/1.1", "haproxy", "1.1", "--http1.1", NodeTimeout(2*time.Minute)),
		Entry("to haproxy, HTTP/2", "haproxy", "2", "--http2-prior-knowledge", NodeTimeout(2*time.Minute)),
		Entry("to nginx, HTTP/1.1 in the agent's TLS", "nginx-tls", "1.1", "--http1.1", NodeTimeout(2*time.Minute)),
		Entry("to nginx, HTTP/2 in the agent's TLS", "nginx-tls", "2", "--http2-prior-knowledge", NodeTimeout(2*time.Minute)),
	)
})
