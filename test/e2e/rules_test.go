package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/http2/hpack"
)

// rulesPolicy repeats no call that may have arrived, except those of gRPC to a method that bears it.
const rulesPolicy = `
podSelector: {matchLabels: {app: programs}}
to:
- service: {name: scripted}
- service: {name: nginx}
- service: {name: grpc}
- service: {name: mail}
- {service: {name: gone-grpc}, protocol: GRPC}
- {service: {name: gone-tcp}, protocol: TCP}
- {host: nginx-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: nginx-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: refusing-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: grpc-tls.NS.svc, ports: [9090], protocol: GRPC, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
- {host: haproxy-tls.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {kind: System}}}
retry:
  maxRetries: 5
  when: [ConnectFailure, RefusedStream, GatewayError]
  retryAfter: {honor: true, max: 5s}
  backoff: {strategy: Fixed, initialInterval: 5ms}
  budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}
rules:
- {name: limited, match: [{path: {value: /limited}}], rateLimit: {requests: 1, per: 1h}}
- {name: limited-grpc, match: [{grpc: {service: fairlead.e2e.Echo, method: Limited}}], rateLimit: {requests: 1, per: 1h}}
- {name: repeatable, match: [{grpc: {service: fairlead.e2e.Echo, method: Say}}], retry: {grpcStatuses: [UNAVAILABLE], idempotency: {mode: Any}}}
`

// What the rules of calls come to on real pods, by the way in which these are spoken to. Each story counts at the server.
var _ = Describe("rules of calls", Ordered, ContinueOnFailure, func() {
	var p, trusting *programs
	calls := 0
	key := func() string { calls++; return fmt.Sprintf("rules-%d", calls) }

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		p.reachable(ctx, "grpc-tls:443", "refusing-tls:443")
		trusting = p.newTrusting(ctx)
		ip := p.servers.Status.PodIP
		p.applyAll(ctx, deadService("gone-grpc", 9090, ip)+"---\n"+deadService("gone-tcp", 7000, ip))
		p.policy(ctx, "rules", rulesPolicy)
		p.policy(ctx, "rules-inside", interceptingPolicy(trustingApp, taxHosts[:3], `
rules:
- {name: slow, match: [{grpc: {service: fairlead.e2e.Echo, method: Slow}}], timeouts: {perTry: 300ms, overall: 300ms}}
`))
		for _, service := range []string{"scripted", "nginx", "grpc", "mail", "gone-grpc", "gone-tcp"} {
			p.known(ctx, service, 1)
		}
	}, NodeTimeout(4*time.Minute))

	called := func(ctx context.Context, url string, flags ...string) (sum summary) {
		GinkgoHelper()
		out := strings.Join(p.run(ctx, append([]string{testserver, "call", "-url", url}, flags...)...), "\n")
		Expect(json.Unmarshal([]byte(out), &sum)).To(Succeed(), out)
		return sum
	}
	versions := map[string][]string{"HTTP/1.1": nil, "HTTP/2": {"-http2"}}
	// ways are those in which a request of HTTP/1.1 can be written by hand.
	type way struct {
		name string
		send func(ctx context.Context, request string) string
	}
	ways := []way{
		{"HTTP/1.1", func(ctx context.Context, request string) string {
			return p.raw(ctx, p.client, p.name("scripted")+":80", strings.NewReader(request))
		}},
		{"Originate", func(ctx context.Context, request string) string {
			return p.raw(ctx, p.client, p.name("nginx-tls")+":80", strings.NewReader(request))
		}},
		{"Intercept", func(ctx context.Context, request string) string {
			return p.raw(ctx, trusting.client, taxHTTP1+":443", strings.NewReader(request), "-tls", "http/1.1")
		}},
	}
	hosts := map[string]func() string{"HTTP/1.1": func() string { return p.name("scripted") }, "Originate": func() string { return p.name("nginx-tls") },
		"Intercept": func() string { return taxHTTP1 }}

	It("TLS: a server that the agent cannot verify ends in 502, and the reason is for operators, over Originate", func(ctx context.Context) {
		k := key()
		before := p.counted(ctx, "fairlead_proxy_tls_failures_total", "rules", `reason="unknown_authority"`)
		got := called(ctx, fmt.Sprintf("http://%s/unverified?key=%s", p.name("haproxy-tls"), k))
		Expect(got.Statuses).To(Equal(map[int]int{502: 1}), "%+v", got)
		Expect(got.Reasons).To(Equal(map[string]int{"tls": 1}))
		Expect(strings.TrimSpace(got.LastBody)).To(Equal("fairlead: tls"))
		Expect(p.saw(ctx, k).Requests).To(BeZero())
		Eventually(func() int {
			return p.counted(ctx, "fairlead_proxy_tls_failures_total", "rules", `reason="unknown_authority"`) - before
		}).WithContext(ctx).Should(Equal(1), "it is not tried again")
		Eventually(func() string { return p.k.logs(ctx, p.k.agentOn(ctx, p.client.Spec.NodeName)) }).WithContext(ctx).
			Should(MatchRegexp(`"path":"/unverified".*"detail":"certificate of an unknown authority"`))
	}, NodeTimeout(time.Minute))

	It("rule 5: the server of gRPC knows the smaller time, over Intercept", func(ctx context.Context) {
		for name, trust := range map[string]string{"Go": "Go", "Python": "Python, gRPC"} {
			k := key()
			command := grpcClients[name]("tls", taxGRPC+":443", "Slow", "3600", 1, "key="+k, "delay=1h")
			Expect(trusting.trustingBy(trust).run(ctx, command...)).To(Equal([]string{"DEADLINE_EXCEEDED"}), name)
			saw := p.saw(ctx, k)
			Expect(saw.Requests).To(Equal(1), name)
			left, err := time.ParseDuration(strings.Join(saw.LastHeader["time-left"], ""))
			Expect(err).NotTo(HaveOccurred(), name)
			Expect(left).To(And(BeNumerically(">", 0), BeNumerically("<=", 300*time.Millisecond)), name)
		}
	}, NodeTimeout(time.Minute))

	DescribeTable("rule 7: what a server has refused is sent again whatever the method", func(ctx context.Context, how string) {
		for _, server := range []string{"scripted", "refusing-tls"} {
			k := key()
			got := called(ctx, fmt.Sprintf("http://%s:81/%s-2-%s", p.name(server), how, k), "-http2", "-method", "POST", "-body", "pay")
			Expect(got.OK).To(Equal(1), "%s: %+v", server, got)
			Expect(got.LastBody).To(Equal("pay"), "the whole body is sent again: "+server)
			Expect(p.saw(ctx, k)).To(And(HaveField("Requests", 3), HaveField("Failed", 2)), server)
		}
		k := key()
		command := grpcClients["Go"]("plain", p.name("scripted")+":81", how+"-2-"+k, "60", 1)
		Expect(p.run(ctx, command...)).To(Equal([]string{"OK"}))
		Expect(p.saw(ctx, k)).To(And(HaveField("Requests", 3), HaveField("Failed", 2)), "over gRPC")
	}, Entry("REFUSED_STREAM, over HTTP/2, Originate and gRPC", "refuse", NodeTimeout(time.Minute)), Entry("GOAWAY, over HTTP/2, Originate and gRPC", "goaway", NodeTimeout(time.Minute)))

	It("rule 14: a server's wish to wait is heard, over HTTP/2 and Originate", func(ctx context.Context) {
		for _, server := range []string{"nginx", "nginx-tls"} {
			url := fmt.Sprintf("http://%s:81/wait?failFirst=1&key=%s&retryAfter=", p.name(server), key())
			got := called(ctx, url+"1", "-http2")
			Expect(got.OK).To(Equal(1), "%+v", got)
			Expect(got.MaxMillis).To(BeNumerically(">=", 1000), server)
			k := key()
			got = called(ctx, fmt.Sprintf("http://%s:81/wait?failFirst=1&key=%s&retryAfter=60", p.name(server), k), "-http2")
			Expect(got.Statuses).To(Equal(map[int]int{503: 1}), "longer than max: %+v", got)
			Expect(p.saw(ctx, k).Requests).To(Equal(1), server)
		}
	}, NodeTimeout(time.Minute))

	It("rule 14: pushback is heard, over gRPC and Originate", func(ctx context.Context) {
		for _, server := range []string{"grpc", "grpc-tls"} {
			for pushback, want := range map[string]struct {
				status   string
				requests int
			}{"1000": {"OK", 2}, "60000": {"UNAVAILABLE", 1}, "-1": {"UNAVAILABLE", 1}} {
				k, start := key(), time.Now()
				command := grpcClients["Go"]("plain", p.name(server)+":9090", "Say", "60", 1, "key="+k, "fail-first=1", "pushback="+pushback)
				Expect(p.run(ctx, command...)).To(Equal([]string{want.status}), "%s: %s", server, pushback)
				Expect(p.saw(ctx, k).Requests).To(Equal(want.requests), "%s: %s", server, pushback)
				if want.requests == 2 {
					Expect(time.Since(start)).To(BeNumerically(">=", time.Second), server)
				}
			}
		}
	}, NodeTimeout(time.Minute))

	It("rule 26: the agent's own answers are what the protocol has for them, over HTTP/1.1, HTTP/2, gRPC and TCP", func(ctx context.Context) {
		k := key()
		passed := called(ctx, fmt.Sprintf("http://%s/limited?key=%s", p.name("scripted"), k))
		Expect(passed.OK).To(Equal(1), "%+v", passed)
		for version, flags := range versions {
			got := called(ctx, fmt.Sprintf("http://%s/limited?key=%s", p.name("scripted"), k), flags...)
			Expect(got.Statuses).To(Equal(map[int]int{429: 1}), version)
			Expect(got.Reasons).To(Equal(map[string]int{"rate_limited": 1}), version)
		}
		Expect(p.saw(ctx, k).Requests).To(Equal(1))
		k = key()
		limited := grpcClients["Go"]("plain", p.name("grpc")+":9090", "Limited", "60", 2, "key="+k)
		Expect(p.run(ctx, limited...)).To(Equal([]string{"OK", "RESOURCE_EXHAUSTED"}))
		Expect(p.saw(ctx, k).Requests).To(Equal(1))
		gone := grpcClients["Go"]("plain", p.name("gone-grpc")+":9090", "Say", "60", 1)
		Expect(p.run(ctx, gone...)).To(Equal([]string{"UNAVAILABLE"}))
		Expect(p.run(ctx, testserver, "dial", "-wait", "20s", "-addr", p.name("gone-tcp")+":7000")).To(Equal([]string{"connected, reset"}))
	}, NodeTimeout(time.Minute))

	It("rule 27: a request with two lengths is refused and not forwarded, over HTTP/1.1, Originate and Intercept", func(ctx context.Context) {
		for _, w := range ways {
			k := key()
			got := w.send(ctx, "POST /two?key="+k+" HTTP/1.1\r\nHost: "+hosts[w.name]()+"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
				"GET /two?key="+k+" HTTP/1.1\r\nHost: "+hosts[w.name]()+"\r\n\r\n")
			Expect(got).To(And(HavePrefix("HTTP/1.1 400 "), ContainSubstring("\r\nfairlead-reason: malformed_request\r\n")), w.name)
			Expect(strings.Count(got, "HTTP/1.1 ")).To(Equal(1), w.name)
			Expect(p.saw(ctx, k).Requests).To(BeZero(), w.name)
		}
	}, NodeTimeout(time.Minute))

	It("rule 28: fields of the connection end at the agent and others do not, over HTTP/1.1, Originate and Intercept", func(ctx context.Context) {
		for _, w := range ways {
			k := key()
			got := w.send(ctx, "GET /fields?key="+k+" HTTP/1.1\r\nHost: "+hosts[w.name]()+"\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n")
			Expect(got).To(HavePrefix("HTTP/1.1 200 "), w.name)
			saw := p.saw(ctx, k)
			Expect(saw.LastHeader).To(HaveKeyWithValue("X-Kept", []string{"1", "2"}), w.name)
			Expect(saw.LastHeader).NotTo(HaveKey("X-Hop"), w.name)
		}
	}, NodeTimeout(time.Minute))

	It("rule 28: fields arrive as they were sent, and no others, over HTTP/2 and Originate", func(ctx context.Context) {
		for _, server := range []string{"scripted", "refusing-tls"} {
			k := key()
			talk := p.k.converse(ctx, p.client, testserver, "raw", "-addr", p.name(server)+":81", "-timeout", "50s")
			_, err := talk.in.Write(http2Requests("http", p.name(server)+":81", "/refuse-0-"+k, "/refuse-0-"+key(), hpack.HeaderField{Name: "x-kept", Value: "1"},
				hpack.HeaderField{Name: "cookie", Value: "a=1"}, hpack.HeaderField{Name: "te", Value: "trailers"}, hpack.HeaderField{Name: "x-kept", Value: "2"},
				hpack.HeaderField{Name: "cookie", Value: "b=2"}))
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() map[uint32]string { return http2Heard(talk.out.Contents()).answers }).WithContext(ctx).
				Should(Equal(map[uint32]string{1: "200", 3: "200"}), server)
			talk.end()
			Expect(p.saw(ctx, k).LastHeader).To(Equal(map[string][]string{"x-kept": {"1", "2"}, "cookie": {"a=1", "b=2"}, "te": {"trailers"}}), server)
		}
	}, NodeTimeout(time.Minute))

	It("rule 29: HEAD, interim responses and trailers are as the server sends them, over HTTP/1.1 and HTTP/2", func(ctx context.Context) {
		for version, flags := range versions {
			k := key()
			url := fmt.Sprintf("http://%s/parts?hints=1&key=%s", p.name("scripted"), k)
			got := called(ctx, url, append(flags, "-n", "3")...)
			Expect(got.OK).To(Equal(3), "%s: %+v", version, got)
			Expect(got.Interim).To(Equal(map[int]int{103: 3}), version)
			Expect(got.Trailers).To(Equal(map[string]int{"the body": 3}), version)
			got = called(ctx, url, append(flags, "-n", "3", "-method", "HEAD")...)
			Expect(got.OK).To(Equal(3), "%s: %+v", version, got)
			Expect(got.LastBody).To(BeEmpty(), version)
			Expect(p.saw(ctx, k).Methods).To(Equal(map[string]int{"GET": 3, "HEAD": 3}), version)
		}
	}, NodeTimeout(time.Minute))

	DescribeTable("a request is refused, and not the next one of the connection", func(ctx context.Context, answer string, fields []hpack.HeaderField) {
		for name, c := range map[string]struct {
			of                      *programs
			addr, scheme, authority string
			flags                   []string
		}{
			"HTTP/2":    {p, p.name("scripted") + ":80", "http", "scripted", nil},
			"Intercept": {trusting, taxHTTP2 + ":443", "https", taxHTTP2, []string{"-tls", "h2"}},
		} {
			bad, good := key(), key()
			talk := p.k.converse(ctx, c.of.client, append([]string{testserver, "raw", "-addr", c.addr, "-timeout", "50s"}, c.flags...)...)
			_, err := talk.in.Write(http2Requests(c.scheme, c.authority, "/bad?key="+bad, "/good?key="+good, fields...))
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() map[uint32]string { return http2Heard(talk.out.Contents()).answers }).WithContext(ctx).
				Should(Equal(map[uint32]string{1: answer, 3: "200"}), name)
			talk.end()
			Expect(p.saw(ctx, bad).Requests).To(BeZero(), name)
			Expect(p.saw(ctx, good).Requests).To(Equal(1), name)
		}
	},
		Entry("rule 30: a head that is too large, over HTTP/2 and Intercept", "431", slices.Repeat([]hpack.HeaderField{{Name: "cookie", Value: strings.Repeat("a", 32)}}, 9000), NodeTimeout(time.Minute)),
		Entry("rule 31: a field of HTTP/1.1's connections, over HTTP/2 and Intercept", "PROTOCOL_ERROR", []hpack.HeaderField{{Name: "te", Value: "gzip"}}, NodeTimeout(time.Minute)))

	It("rule 32: a server that speaks first is heard where the policy does not say what it speaks, over TCP", func(ctx context.Context) {
		Expect(p.run(ctx, testserver, "dial", "-wait", "20s", "-addr", p.name("mail")+":25")).To(Equal([]string{"connected, greeted"}))
		Expect(p.run(ctx, "/usr/bin/python3", "/programs/mail_client.py", p.name("mail"), key()+"@example.com", "2")).NotTo(BeEmpty())
		Expect(p.saw(ctx, fmt.Sprintf("rules-%d@example.com", calls)).Requests).To(Equal(2))
	}, NodeTimeout(time.Minute))

	// The status comes some seconds behind.
	It("TLS: the reason is in the policy's status too, over Originate", func(ctx context.Context) {
		Eventually(func() []string {
			return p.destination(ctx, "rules", "haproxy-tls").failures
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(ConsistOf("unknown_authority"))
	}, NodeTimeout(time.Minute))
})
