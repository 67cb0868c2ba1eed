package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("names, proxies and QUIC", Ordered, ContinueOnFailure, func() {
	var p *programs

	BeforeAll(func(ctx context.Context) { p = newPrograms(ctx) }, NodeTimeout(4*time.Minute))

	It("has a call go to another address of the name when the first one is dead", func(ctx context.Context) {
		dead, live := p.upstream.Status.PodIP, p.servers.Status.PodIP
		p.applyAll(ctx, fmt.Sprintf(twoAddresses, dead, live))
		name := fmt.Sprintf("pair.%s.svc.cluster.local", p.namespace)
		p.policy(ctx, "pair", fmt.Sprintf(`
podSelector: {matchLabels: {app: programs}}
to: [{host: %s, ports: [8081, 8082]}]
retry: {maxRetries: 1, when: [ConnectFailure]}
`, name))
		Eventually(func() []string { return p.run(ctx, "/usr/bin/python3", "-c", lookUp, name) }).WithContext(ctx).Should(ConsistOf(dead, live))
		for version, port := range map[string]string{"1.1": "8081", "2": "8082"} {
			flag := map[string]string{"1.1": "--http1.1", "2": "--http2-prior-knowledge"}[version]
			before := p.tries(ctx, "pair", `attempt="retry"`)
			// curl would go on to the next address by itself if it knew of one.
			args := append(slices.Clone(curlCommand), flag, "--resolve", fmt.Sprintf("%s:%s:%s", name, port, dead))
			Expect(p.run(ctx, append(args, fmt.Sprintf("http://%s:%s/pair?key=pair-%s", name, port, port))...)).To(Equal([]string{"200 " + version}))
			Expect(p.saw(ctx, "pair-"+port).Requests).To(Equal(1))
			Eventually(func() int { return p.tries(ctx, "pair", `attempt="retry"`) - before }).WithContext(ctx).Should(Equal(1))
		}
	}, NodeTimeout(time.Minute))

	It("calls hosts through the proxy that the policy names", func(ctx context.Context) {
		spec := func(via string) string {
			return fmt.Sprintf(`
podSelector: {matchLabels: {app: programs}}
to: [{host: %s, ports: [8080, 8081, 8082, 8443], via: {%s}}]
retry: {maxRetries: 5, when: [ConnectFailure, GatewayError], backoff: {initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`, behindProxy, via)
		}
		const proxy = `proxy: "proxy.NS.svc.cluster.local:8888"`
		p.policy(ctx, "through", spec(proxy))
		// Whoever would be reached at the address that the client takes for the host's, the host is reached through the proxy alone.
		curl := append(slices.Clone(curlCommand), "--connect-to", "::192.0.2.1:", "--noproxy", "*", "-k")
		Expect(p.run(ctx, append(slices.Clone(curl), "http://"+behindProxy+":8080/via?key=via-nobody")...)).To(Equal([]string{"502 1.1"}))
		Expect(p.saw(ctx, "via-nobody").Requests).To(BeZero(), "the proxy wants credentials")
		Eventually(func() int { return p.tries(ctx, "through") }).WithContext(ctx).Should(Equal(1), "which is not asked again")
		p.edit(ctx, "through", spec(proxy+", credentialsRef: {name: proxy}"))
		p.programmed(ctx, "through")
		for key, c := range map[string]struct{ url, want string }{
			"via-plain": {"http://" + behindProxy + ":8080/via?failFirst=2&key=via-plain", "200 1.1"},
			"via-nginx": {"http://" + behindProxy + ":8081/via?failFirst=2&key=via-nginx", "200 1.1"},
		} {
			Expect(p.run(ctx, append(slices.Clone(curl), c.url)...)).To(Equal([]string{c.want}))
			Expect(p.saw(ctx, key).Requests).To(Equal(3), "the call and two retries")
			Expect(p.saw(ctx, key).Remotes).To(Equal(map[string]int{"127.0.0.1": 3}), "from the proxy, which is beside it")
		}
		http2 := append(slices.Clone(curl), "--http2-prior-knowledge", "http://"+behindProxy+":8082/via?failFirst=2&key=via-http2")
		Expect(p.run(ctx, http2...)).To(Equal([]string{"200 2"}))
		Expect(p.saw(ctx, "via-http2").Requests).To(Equal(3))
		Expect(p.run(ctx, append(slices.Clone(curl), "https://"+behindProxy+":8443/via?key=via-tls")...)).To(Equal([]string{"200 2"}), "TLS of the client")
		Expect(p.saw(ctx, "via-tls").Requests).To(Equal(1))
	}, NodeTimeout(time.Minute))

	It("sees QUIC pass by, and rejects it where written, so that clients take TCP", func(ctx context.Context) {
		ip := p.servers.Status.PodIP
		send := func() []string { return p.run(ctx, "/usr/bin/python3", "/programs/packet.py", ip, "443") }
		spec := fmt.Sprintf(`
podSelector: {matchLabels: {app: programs}}
to:
- {cidr: {block: %s/32}}
`, ip)
		call := func() []string {
			return p.run(ctx, "/usr/bin/python3", "/programs/fallback_client.py", ip, "8443", p.name("nginx-tls"), "/quic?key=fallback")
		}
		p.policy(ctx, "quic", spec)
		Expect(send()).To(Equal([]string{"answered hello"}))
		Expect(call()).To(Equal([]string{"UDP"}))
		// The agent looks at its counters every few minutes, and when it captures something else.
		p.edit(ctx, "quic", spec+"- {cidr: {block: 192.0.2.0/24}}\n")
		Eventually(func() string { return fmt.Sprint(p.get(ctx, "quic").Object["status"]) }).WithContext(ctx).WithTimeout(40 * time.Second).
			Should(ContainSubstring("QUICSeen"))
		p.edit(ctx, "quic", spec+"udp443: Reject\n")
		p.programmed(ctx, "quic")
		// The kernel says so to the one that sends, at once or with the next packet.
		Eventually(send).WithContext(ctx).Should(ConsistOf(BeElementOf("ConnectionRefusedError", "PermissionError")))
		Expect(call()).To(Equal([]string{"TCP 200"}), "a client that tries UDP first")
		Expect(p.saw(ctx, "fallback").Requests).To(Equal(1))
		Expect(p.run(ctx, append(slices.Clone(curlCommand), "--http1.1", "http://"+ip+":8081/quic?key=quic")...)).To(Equal([]string{"200 1.1"}))
		Expect(p.saw(ctx, "quic").Requests).To(Equal(1))
	}, NodeTimeout(time.Minute))

	It("governs calls to a Service that has IPv6 alone", func(ctx context.Context) {
		p.needIPv6()
		p.applyAll(ctx, six)
		p.reachable(ctx, "six-tls:443")
		p.policy(ctx, "six-alone", `
podSelector: {matchLabels: {app: programs}}
to:
- service: {name: six}
- {host: six-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
retry: {maxRetries: 5, when: [GatewayError], backoff: {initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`)
		p.known(ctx, "six", 1)
		for _, name := range []string{"curl, HTTP/2", "Python, HTTP/1.1", "Node.js, HTTP/1.1"} {
			c := httpClients[name]
			key := "six-" + port(c.version) + c.command[0]
			got := p.answers(ctx, c, fmt.Sprintf("http://%s:%s/six?failPercent=40&key=%s", p.name("six"), port(c.version), key), 5)
			Expect(got).To(And(HaveLen(5), HaveEach("200 "+c.version)), name)
			Expect(p.saw(ctx, key).Failed).To(BeNumerically(">", 0))
		}
		got := p.answers(ctx, httpClients["curl, HTTP/1.1"], fmt.Sprintf("http://%s/six?failFirst=2&key=six-tls", p.name("six-tls")), 2)
		Expect(got).To(Equal([]string{"200 1.1", "200 1.1"}))
		Expect(p.saw(ctx, "six-tls").Requests).To(Equal(4))
	}, NodeTimeout(time.Minute))
})

// lookUp prints the addresses of a name.
const lookUp = `import socket, sys
for a in sorted({i[4][0] for i in socket.getaddrinfo(sys.argv[1], 80, socket.AF_INET)}): print(a)`

// twoAddresses is a name with the address of a pod that does not listen on the ports, and that of one that does.
const twoAddresses = `
apiVersion: v1
kind: Service
metadata: {name: pair, namespace: NS}
spec: {clusterIP: None, ports: [{port: 8081}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: pair, namespace: NS, labels: {kubernetes.io/service-name: pair}}
addressType: IPv4
ports: [{port: 8081, protocol: TCP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}, {addresses: ["%s"], conditions: {ready: true}}]
`

const six = `
apiVersion: v1
kind: Service
metadata: {name: six, namespace: NS}
spec: {ipFamilies: [IPv6], selector: {app: servers}, ports: [{name: http, port: 80, targetPort: 8081}, {name: http2, port: 81, targetPort: 8082}]}
---
apiVersion: v1
kind: Service
metadata: {name: six-tls, namespace: NS}
spec: {ipFamilies: [IPv6], selector: {app: servers}, ports: [{name: tls, port: 443, targetPort: 8443}]}
`
