package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Hosts that pods know by their hosts file. The first is that of the sample; the one of another CA is verified as the sample says, with the public
// roots.
const (
	taxHTTP1     = "api.tax.example"
	taxHTTP2     = "http2.tax.example"
	taxGRPC      = "grpc.tax.example"
	taxOtherCA   = "other-ca.tax.example"
	trustingApp  = "billing"
	egressCAName = "fairlead-egress-ca"
)

type taxHost struct {
	name, protocol, service string
	trusted                 bool
}

var taxHosts = []taxHost{
	{taxHTTP1, "HTTP", "nginx-tls", true}, {taxHTTP2, "HTTP2", "nginx-tls", true}, {taxGRPC, "GRPC", "grpc-tls", true},
	{taxOtherCA, "HTTP", "nginx-tls", false},
}

// trustVariables are the variables by which docs/guides/tls.md says that programs trust the egress CA, by language. Those of gRPC for Python are its own.
var trustVariables = map[string]string{
	"Go": "SSL_CERT_DIR", "curl": "CURL_CA_BUNDLE", "Python": "SSL_CERT_FILE", "Node.js": "NODE_EXTRA_CA_CERTS", "Java": "JAVA_TOOL_OPTIONS",
	"Python, gRPC": "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
}

// trustingBy is the same client with the variable of one language alone.
func (p *programs) trustingBy(language string) *programs {
	GinkgoHelper()
	Expect(trustVariables).To(HaveKey(language))
	one := *p
	one.before = []string{"/usr/bin/env"}
	for _, v := range slices.Sorted(maps.Values(trustVariables)) {
		if v != trustVariables[language] {
			one.before = append(one.before, "-u", v)
		}
	}
	return &one
}

// newTrusting makes the sample's pod, in a namespace that asks for the CA.
func (p *programs) newTrusting(ctx context.Context) *programs {
	GinkgoHelper()
	name, value := publishLabel()
	ns := &corev1.Namespace{}
	ns.Name = p.namespace
	p.label(ctx, ns, name, value)
	named := map[string][]any{}
	for _, h := range taxHosts {
		named[h.service] = append(named[h.service], h.name)
	}
	var aliases []any
	for _, service := range slices.Sorted(maps.Keys(named)) { // in one order: a pod that is there cannot change
		aliases = append(aliases, map[string]any{"ip": p.clusterIP(ctx, service), "hostnames": named[service]})
	}
	// The kubelet waits ever longer for a ConfigMap that is not there.
	Eventually(func() error { return p.k.Get(ctx, p.key(egressCAName), &corev1.ConfigMap{}) }).WithContext(ctx).Should(Succeed())
	home := p.run(ctx, "/bin/sh", "-c", `dirname "$(dirname "$(readlink -f "$(command -v java)")")"`)[0]
	p.applyObjects(ctx, p.trustingPod(p.client.Spec.NodeName, home, aliases))
	one := *p
	one.client = p.ready(ctx, trustingApp)
	return &one
}

func (s *environment) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: name}
}

func (s *environment) clusterIP(ctx context.Context, service string) string {
	GinkgoHelper()
	var svc corev1.Service
	Expect(s.k.Get(ctx, s.key(service), &svc)).To(Succeed())
	return svc.Spec.ClusterIP
}

var _ = Describe("TLS of pods that a policy intercepts", Ordered, ContinueOnFailure, func() {
	var p, trusting *programs
	calls := 0
	key := func() string { calls++; return fmt.Sprintf("intercepted-%d", calls) }

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		p.reachable(ctx, "grpc-tls:443")
		trusting = p.newTrusting(ctx)
		trusting.compile(ctx, "HttpCalls")
		p.policy(ctx, "intercepted", interceptingPolicy(trustingApp, taxHosts, `
rules:
- {name: grpc, match: [{grpc: {service: fairlead.e2e.Echo}}], retry: {grpcStatuses: [UNAVAILABLE], idempotency: {mode: Any}}}
`))
	}, NodeTimeout(4*time.Minute))

	It("leads to a CA that is published where the namespace asks for it", func(ctx context.Context) {
		published := p.published(ctx)
		block, _ := pem.Decode([]byte(published))
		Expect(block).NotTo(BeNil())
		ca, err := x509.ParseCertificate(block.Bytes)
		Expect(err).NotTo(HaveOccurred())
		Expect(ca.IsCA).To(BeTrue())
		if _, err := p.k.set.Discovery().ServerResourcesForGroupVersion("certificates.k8s.io/v1beta1"); err == nil {
			bundle, err := p.k.set.CertificatesV1beta1().ClusterTrustBundles().Get(ctx, "fairlead.dev:egress:ca", metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(bundle.Spec.TrustBundle).To(Equal(published))
		}
	}, NodeTimeout(time.Minute))

	clients := []any{func(ctx context.Context, name string) {
		const n = 5
		c, k := httpClients[name], key()
		host := map[string]string{"1.1": taxHTTP1, "2": taxHTTP2}[c.over]
		tries, accepted := p.answered(ctx, "intercepted"), p.counted(ctx, "fairlead_proxy_pod_handshakes_total", "intercepted", `result="ok"`)
		got := trusting.trustingBy(language(name)).answers(ctx, c, fmt.Sprintf("https://%s/opened?failFirst=2&key=%s", host, k), n)
		Expect(got).To(And(HaveLen(n), HaveEach("200 "+c.over)))
		saw := p.saw(ctx, k)
		Expect(saw.Requests).To(Equal(n+2), "each call and each retry, as the host has counted")
		Expect(saw.LastHeader).To(HaveKeyWithValue("X-Protocol", []string{asServers(c.over)}), "the host is spoken to as the client speaks")
		Expect(saw.LastHeader).To(HaveKeyWithValue("X-Scheme", []string{"https"}), "TLS is spoken to the host")
		Eventually(func() int { return p.answered(ctx, "intercepted") - tries }).WithContext(ctx).Should(Equal(n+2), "as the agent has counted")
		Expect(p.counted(ctx, "fairlead_proxy_pod_handshakes_total", "intercepted", `result="ok"`)).To(BeNumerically(">", accepted))
	}}
	for _, name := range slices.Sorted(maps.Keys(httpClients)) {
		clients = append(clients, Entry(name, name, NodeTimeout(time.Minute)))
	}
	DescribeTable("is of programs that trust the CA as the docs say, and that see no failure which a retry can heal", clients...)

	// Those of grpcClients that speak TLS, and by what they trust the CA.
	DescribeTable("is of clients of gRPC, which see no UNAVAILABLE", func(ctx context.Context, name, trust string) {
		trusting.trustingBy(trust).healedGRPC(ctx, grpcClients[name], "tls", taxGRPC+":443", key(), "https")
	}, Entry("Go", "Go", "Go", NodeTimeout(time.Minute)), Entry("Python", "Python", "Python, gRPC", NodeTimeout(time.Minute)))

	It("shows pods a certificate of the node, and what the host answers", func(ctx context.Context) {
		const all = "%{http_code} %header{server-pod}\n%{certs}"
		got := trusting.run(ctx, "curl", "-sS", "-o", "/dev/null", "-w", all, "https://"+taxHTTP1+"/shown?key="+key())
		Expect(got[0]).To(Equal("200 "+p.servers.Name), "the host's own header")
		Expect(strings.Join(got, "\n")).To(And(ContainSubstring("Issuer:CN = fairlead"), Not(ContainSubstring("CA of the stories"))))
	}, NodeTimeout(time.Minute))

	It("ends in 502 where the host cannot be verified, and the reason is for operators", func(ctx context.Context) {
		k := key()
		before := p.counted(ctx, "fairlead_proxy_tls_failures_total", "intercepted", `reason="unknown_authority"`)
		got := strings.Join(trusting.run(ctx, "curl", "-sS", "-i", "https://"+taxOtherCA+"/refused?key="+k), "\n")
		Expect(got).To(And(HavePrefix("HTTP/1.1 502 "), ContainSubstring("fairlead-reason: tls\r\n"), HaveSuffix("\n\r\nfairlead: tls"),
			Not(ContainSubstring("authority")), Not(ContainSubstring("certificate"))))
		Expect(p.saw(ctx, k).Requests).To(BeZero())
		Eventually(func() int {
			return p.counted(ctx, "fairlead_proxy_tls_failures_total", "intercepted", `reason="unknown_authority"`) - before
		}).WithContext(ctx).Should(Equal(1), "it is not tried again")
		Eventually(func() string { return p.k.logs(ctx, p.k.agentOn(ctx, p.client.Spec.NodeName)) }).WithContext(ctx).
			Should(MatchRegexp(`"path":"/refused".*"detail":"certificate of an unknown authority"`))
		Eventually(func() []string {
			return p.destination(ctx, "intercepted", taxOtherCA).failures
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(ConsistOf("unknown_authority"))
	}, NodeTimeout(time.Minute))

	It("is seen to be that of a pod which does not trust the CA, and is passed through after as many handshakes as written", func(ctx context.Context) {
		p.policy(ctx, "distrusted", interceptingPolicy("programs", taxHosts[:1], ""))
		k := key()
		curl := []string{"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n%{certs}", "--connect-to", taxHTTP1 + ":443:" + p.name("nginx-tls") + ":443",
			"https://" + taxHTTP1 + "/distrusted?key=" + k}
		for range 3 { // passthroughAfter in the sample
			_, err := p.k.exec(ctx, p.client, nil, curl...)
			Expect(err).To(MatchError(ContainSubstring("curl: (60)")), "the client trusts the CA of the host alone")
		}
		Expect(p.saw(ctx, k).Requests).To(BeZero())
		Expect(p.counted(ctx, "fairlead_proxy_pod_handshakes_total", "distrusted", `result="not_trusted"`)).To(Equal(3))
		got := p.run(ctx, curl...)
		Expect(got[0]).To(Equal("200"))
		Expect(strings.Join(got, "\n")).To(ContainSubstring("Issuer:CN = CA of the stories"), "the host's own certificate")
		Expect(p.saw(ctx, k).Requests).To(Equal(1))
		Eventually(func() string {
			status, reason, message, _ := condition(p.get(ctx, "distrusted"), "PartiallyEnforced")
			return status + " " + reason + ": " + message
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(And(HavePrefix("True TLSNotTrusted: "), ContainSubstring(p.client.Name),
			ContainSubstring("it ended 3 TLS handshakes to "+taxHTTP1+" since it does not trust the egress CA; its connections are passed through")))
		Expect(p.destination(ctx, "distrusted", taxHTTP1).notEnforced).To(HaveKeyWithValue("to[0].tls.mode", "TLSNotTrusted"))
		Expect(p.destination(ctx, "intercepted", taxHTTP1).notEnforced).To(BeEmpty(), "where all trust it")
	}, NodeTimeout(time.Minute))

	It("goes on while the CA is replaced by one of the user's, under load, for pods that trust both", func(ctx context.Context) {
		before, next := p.published(ctx), newAuthority("egress CA of the stories").files()
		both := before + next["ca.crt"]
		url := "https://" + taxHTTP1 + "/replaced?key=" + key()
		call := func(bundle string, flags ...string) (sum summary, err error) {
			args := append([]string{testserver, "call", "-ca", "/dev/stdin", "-url", url, "-fresh"}, flags...)
			out, err := p.k.exec(ctx, trusting.client, strings.NewReader(bundle), args...)
			if err == nil {
				err = json.Unmarshal([]byte(out), &sum)
			}
			return sum, err
		}
		const long = 10 * time.Second
		under, end := make(chan summary, 1), time.Now().Add(long)
		go func() {
			defer GinkgoRecover()
			defer close(under)
			sum, err := call(both, "-duration", long.String(), "-gap", "10ms", "-c", "2")
			Expect(err).NotTo(HaveOccurred())
			under <- sum
		}()
		p.replaceEgressCA(ctx, map[string]string{"tls.crt": next["tls.crt"], "tls.key": next["tls.key"], "ca.crt": both})
		// The manager looks at its Secret each minute, and when a node needs another issuer.
		p.policy(ctx, "another", interceptingPolicy(trustingApp, []taxHost{{name: "another.tax.example", protocol: "HTTP", trusted: true}}, ""))
		Eventually(func() string { return p.published(ctx) }).WithContext(ctx).Should(Equal(both))
		Eventually(func() (int, error) {
			sum, err := call(next["ca.crt"])
			return sum.OK, err
		}).WithContext(ctx).Should(Equal(1), "the new CA signs")
		Expect(time.Now().Before(end)).To(BeTrue(), "it was replaced after the load, and so nothing is known")
		sum := <-under
		Expect(sum.Calls).To(BeNumerically(">", 20))
		Expect(sum.OK).To(Equal(sum.Calls), "%+v", sum)
	}, NodeTimeout(time.Minute))
})

// published is the CA that pods of the namespace are to trust.
func (s *environment) published(ctx context.Context) string {
	GinkgoHelper()
	var cm corev1.ConfigMap
	Expect(s.k.Get(ctx, s.key(egressCAName), &cm)).To(Succeed())
	return cm.Data["ca.crt"]
}

// replaceEgressCA has the manager sign with another CA for the duration of the spec.
func (s *environment) replaceEgressCA(ctx context.Context, entries map[string]string) {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Expect(s.k.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: egressCAName}, secret)).To(Succeed())
	put := func(ctx context.Context, data map[string]any) { // nil removes an entry
		GinkgoHelper()
		patch, err := json.Marshal(map[string]any{"data": data})
		Expect(err).NotTo(HaveOccurred())
		Expect(s.k.Patch(ctx, secret.DeepCopy(), client.RawPatch("application/merge-patch+json", patch))).To(Succeed())
	}
	next, old := map[string]any{}, map[string]any{}
	for name, content := range entries {
		next[name], old[name] = []byte(content), nil
		if b, ok := secret.Data[name]; ok {
			old[name] = b
		}
	}
	put(ctx, next)
	DeferCleanup(func(ctx context.Context) { put(ctx, old) }, NodeTimeout(10*time.Second))
}

// destination is what a policy's status says of one of its hosts.
type destination struct {
	failures    []string
	notEnforced map[string]string
}

func (s *environment) destination(ctx context.Context, policy, host string) (out destination) {
	GinkgoHelper()
	all, _, _ := unstructured.NestedSlice(s.get(ctx, policy).Object, "status", "destinations")
	for _, d := range all {
		d := d.(map[string]any)
		if !strings.Contains(fmt.Sprint(d["to"]), host) {
			continue
		}
		out.failures, _, _ = unstructured.NestedStringSlice(d, "tlsFailures")
		fields, _, _ := unstructured.NestedSlice(d, "notEnforced")
		out.notEnforced = map[string]string{}
		for _, f := range fields {
			f := f.(map[string]any)
			out.notEnforced[fmt.Sprint(f["field"])] = fmt.Sprint(f["reason"])
		}
		return out
	}
	Fail(fmt.Sprintf("the status of %s does not name %s: %v", policy, host, all))
	return out
}

// logs are the last lines of a pod.
func (k *kube) logs(ctx context.Context, pod *corev1.Pod) string {
	GinkgoHelper()
	out, err := k.set.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: ptr.To(int64(200))}).DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	return string(out)
}
