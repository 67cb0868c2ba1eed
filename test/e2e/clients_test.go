package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// clientsPolicy governs calls to real servers: in the clear, with TLS by the agent, and with TLS by the client. Its rules are about gRPC, which is
// all POST, and about calls that take long.
const clientsPolicy = `
podSelector: {matchLabels: {app: programs}}
to:
- service: {name: nginx}
- service: {name: haproxy}
- {host: nginx-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: nginx-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: haproxy-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: haproxy-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {service: {name: secure}, protocol: TLS}
- service: {name: grpc}
- {host: grpc-tls.NS.svc, ports: [9090], protocol: GRPC, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
loadBalancing: {policy: RoundRobin}
retry:
  maxRetries: 10
  when: [ConnectFailure, ResetBeforeRequest, Reset, GatewayError]
  backoff: {strategy: Fixed, initialInterval: 5ms}
  budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}
rules:
- {name: grpc-slow, match: [{grpc: {service: fairlead.e2e.Echo, method: Slow}}], timeouts: {overall: 300ms}}
- {name: grpc, match: [{grpc: {service: fairlead.e2e.Echo}}], retry: {grpcStatuses: [UNAVAILABLE], idempotency: {mode: Any}}}
- {name: slow, match: [{path: {value: /slow}}], timeouts: {perTry: 500ms}, retry: {when: [PerTryTimeout]}}
- {name: never, match: [{path: {value: /never}}], timeouts: {overall: 300ms}}
`

// httpClient is a program that calls a URL n times and prints the status and the version of HTTP of each answer.
type httpClient struct {
	version string // without TLS
	over    string // TLS
	command []string
}

var curlCommand = []string{"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}\n"}

var httpClients = map[string]httpClient{
	"curl, HTTP/1.1":    {"1.1", "1.1", append(slices.Clone(curlCommand), "--http1.1")},
	"curl, HTTP/2":      {"2", "2", append(slices.Clone(curlCommand), "--http2-prior-knowledge")},
	"Go, HTTP/1.1":      {"1.1", "1.1", []string{testserver, "call"}},
	"Go, HTTP/2":        {"2", "2", []string{testserver, "call", "-http2", "-c", "5"}},
	"Python, HTTP/1.1":  {"1.1", "1.1", []string{"/usr/bin/python3", "/programs/http_client.py"}},
	"Python's urllib":   {"1.1", "1.1", []string{"/usr/bin/python3", "/programs/urllib_client.py"}},
	"Node.js, HTTP/1.1": {"1.1", "1.1", []string{"node", "/programs/http_client.js"}},
	"Node.js, HTTP/2":   {"2", "2", []string{"node", "/programs/http2_client.js"}},
	// Java offers HTTP/2 wherever it has no TLS, and takes HTTP/1.1 for an answer.
	"Java": {"1.1", "2", []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "/scratch/classes", "HttpCalls"}},
}

// language is that of a client, by its name in httpClients and grpcClients.
func language(client string) string {
	name, _, _ := strings.Cut(client, ",")
	return strings.TrimSuffix(name, "'s urllib")
}

// answers makes n calls and returns what the program prints of them.
func (p *programs) answers(ctx context.Context, c httpClient, url string, n int) []string {
	GinkgoHelper()
	switch c.command[0] {
	case "curl":
		if c.version == "2" { // curl 7.88 cannot use such a connection again, whoever has answered
			return p.run(ctx, append([]string{"/bin/sh", "-c", `for i in $(seq ` + fmt.Sprint(n) + `); do "$@"; done`, "sh"}, append(slices.Clone(c.command), url)...)...)
		}
		return p.run(ctx, append(slices.Clone(c.command), fmt.Sprintf("%s&i=[1-%d]", url, n))...)
	case testserver:
		var sum summary
		Expect(json.Unmarshal([]byte(strings.Join(p.run(ctx, append(slices.Clone(c.command), "-n", fmt.Sprint(n), "-url", url)...), "\n")), &sum)).To(Succeed())
		var lines []string
		for status, count := range sum.Statuses {
			Expect(sum.Protocols).To(HaveLen(1), "%+v", sum)
			for protocol := range sum.Protocols {
				version := strings.TrimSuffix(strings.TrimPrefix(protocol, "HTTP/"), ".0")
				lines = append(lines, slices.Repeat([]string{fmt.Sprintf("%d %s", status, version)}, count)...)
			}
		}
		return lines
	}
	return p.run(ctx, append(slices.Clone(c.command), url, fmt.Sprint(n))...)
}

// port is that of the Services for a version of HTTP.
func port(version string) string {
	if version == "2" {
		return "81"
	}
	return "80"
}

// asServers say it: HTTP/1.1 and HTTP/2.0.
func asServers(version string) string {
	if version == "2" {
		return "HTTP/2.0"
	}
	return "HTTP/" + version
}

var _ = Describe("other people's clients and servers", Ordered, ContinueOnFailure, func() {
	var p *programs
	calls := 0
	key := func() string { calls++; return fmt.Sprintf("clients-%d", calls) }

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		p.compile(ctx, "HttpCalls", "GrpcCalls")
		p.run(ctx, "keytool", "-importcert", "-noprompt", "-file", "/tls/ca.crt", "-keystore", javaRoots, "-storepass", "changeit")
		p.applyAll(ctx, halfDeadService("secure", 443, p.servers.Status.PodIP, 8443))
		p.policy(ctx, "clients", clientsPolicy)
		p.known(ctx, "secure", 2)
		p.reachable(ctx, "grpc-tls:443")
		for _, service := range []string{"nginx", "haproxy", "grpc"} {
			p.known(ctx, service, 1)
		}
	}, NodeTimeout(4*time.Minute))

	clients := func(each func(ctx context.Context, c httpClient)) []any {
		args := []any{each}
		for _, name := range slices.Sorted(maps.Keys(httpClients)) {
			args = append(args, Entry(name, httpClients[name], NodeTimeout(time.Minute)))
		}
		return args
	}

	// healed makes calls of which the server fails some, and expects that the client gets none of these, and that everybody has counted the same.
	healed := func(ctx context.Context, c httpClient, server, scheme string) {
		GinkgoHelper()
		const n = 10
		k := key()
		before := p.answered(ctx, "clients")
		got := p.answers(ctx, c, fmt.Sprintf("http://%s:%s/healed?failPercent=40&key=%s", p.name(server), port(c.version), k), n)
		Expect(got).To(And(HaveLen(n), HaveEach("200 "+c.version)), server)
		saw := p.saw(ctx, k)
		Expect(saw.Failed).To(BeNumerically(">", 0))
		Expect(saw.Requests).To(Equal(n+saw.Failed), "%s got each call and each retry", server)
		Expect(saw.LastHeader).To(HaveKeyWithValue("X-Protocol", []string{asServers(c.version)}), "%s is spoken to as the client speaks", server)
		Expect(saw.LastHeader).NotTo(HaveKey("Upgrade"), "an offer of HTTP/2 ends at the agent")
		if scheme == "https" {
			Expect(saw.LastHeader).To(HaveKeyWithValue("X-Scheme", []string{scheme}), "TLS is spoken to %s", server)
		}
		Eventually(func() int { return p.answered(ctx, "clients") - before }).WithContext(ctx).Should(Equal(saw.Requests), "as the agent has counted")
	}

	DescribeTable("see no failure that a retry can heal", clients(func(ctx context.Context, c httpClient) {
		for _, server := range []string{"nginx", "haproxy"} {
			healed(ctx, c, server, "http")
		}
	})...)

	DescribeTable("see none where the agent speaks TLS for them", clients(func(ctx context.Context, c httpClient) {
		for _, server := range []string{"nginx-tls", "haproxy-tls"} {
			healed(ctx, c, server, "https")
		}
	})...)

	DescribeTable("reach the endpoint that answers where they speak TLS themselves", clients(func(ctx context.Context, c httpClient) {
		const n = 3
		k := key()
		for range 2 { // one of two connections goes to the endpoint where nothing listens first
			got := p.answers(ctx, c, fmt.Sprintf("https://%s/passed?key=%s", p.name("secure"), k), n)
			Expect(got).To(And(HaveLen(n), HaveEach("200 "+c.over)))
		}
		Expect(p.saw(ctx, k).Requests).To(Equal(2 * n))
	})...)

	DescribeTable("wait for a slow attempt no longer than written", clients(func(ctx context.Context, c httpClient) {
		for _, server := range []string{"nginx", "nginx-tls"} {
			k := key()
			url := fmt.Sprintf("http://%s:%s/slow?delay=1h&delayFirst=1&key=%s", p.name(server), port(c.version), k)
			Expect(p.answers(ctx, c, url, 2)).To(Equal([]string{"200 " + c.version, "200 " + c.version}), "perTry ends the first attempt at %s", server)
			Expect(p.saw(ctx, k).Requests).To(BeNumerically(">=", 3), "the slow attempt, its retry, and another call")
		}
	})...)

	It("get an answer when the time for a call is over", func(ctx context.Context) {
		for _, name := range []string{"curl, HTTP/1.1", "curl, HTTP/2", "Java", "Node.js, HTTP/2"} {
			c := httpClients[name]
			before := p.counted(ctx, "fairlead_proxy_requests_total", "clients", `kind="deadline"`)
			url := fmt.Sprintf("http://%s:%s/never?delay=1h", p.name("haproxy"), port(c.version))
			Expect(p.answers(ctx, c, url, 2)).To(Equal([]string{"504 " + c.version, "504 " + c.version}), name)
			Eventually(func() int {
				return p.counted(ctx, "fairlead_proxy_requests_total", "clients", `kind="deadline"`) - before
			}).
				WithContext(ctx).Should(Equal(2), name)
		}
	}, NodeTimeout(time.Minute))

	// grpcServers are the same server, without TLS and with TLS by the agent.
	grpcServers := map[string]string{"grpc": "", "grpc-tls": "https"}

	DescribeTable("see no UNAVAILABLE of gRPC, in the clear and over Originate", grpcEntries(func(ctx context.Context, call grpcClient) {
		for server, scheme := range grpcServers {
			before := p.counted(ctx, "fairlead_proxy_grpc_calls_total", "clients", `status="OK"`)
			p.healedGRPC(ctx, call, "plain", p.name(server)+":9090", key(), scheme)
			Eventually(func() int {
				return p.counted(ctx, "fairlead_proxy_grpc_calls_total", "clients", `status="OK"`) - before
			}).WithContext(ctx).Should(Equal(3), server)
		}
	})...)

	DescribeTable("hear of the end of a gRPC call's time, and their servers know it from the start (rule 5)", grpcEntries(func(ctx context.Context, call grpcClient) {
		for server := range grpcServers {
			k := key()
			Expect(p.run(ctx, call("plain", p.name(server)+":9090", "Slow", "3600", 1, "key="+k, "delay=1h")...)).To(Equal([]string{"DEADLINE_EXCEEDED"}), server)
			saw := p.saw(ctx, k)
			Expect(saw.Requests).To(Equal(1), server)
			left, err := time.ParseDuration(strings.Join(saw.LastHeader["time-left"], ""))
			Expect(err).NotTo(HaveOccurred(), server)
			Expect(left).To(And(BeNumerically(">", 0), BeNumerically("<=", 300*time.Millisecond)), "the client has given it an hour, and the policy 300 ms")
		}
	})...)

	It("are shown in the policy's status", func(ctx context.Context) {
		k := key()
		Expect(p.answers(ctx, httpClients["curl, HTTP/2"], fmt.Sprintf("http://%s:81/shown?failPercent=40&key=%s", p.name("nginx"), k), 50)).To(HaveEach("200 2"))
		Eventually(func(g Gomega) {
			traffic, _, _ := unstructured.NestedMap(p.get(ctx, "clients").Object, "status", "traffic")
			g.Expect(traffic["requests"]).To(BeNumerically(">=", 50))
			g.Expect(traffic["retries"]).To(BeNumerically(">=", p.saw(ctx, k).Failed))
			g.Expect(traffic["retrySuccesses"]).To(BeNumerically(">", 0))
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(Succeed())
	}, NodeTimeout(time.Minute))
})
