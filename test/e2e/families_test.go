package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ipv6Class is the RuntimeClass of pods that have IPv6 alone, see hack/cluster.
const ipv6Class = "ipv6"

// familyServices lead to the upstream in both families: balanced, by name, with a dead endpoint beside it, and with nobody in IPv6.
const familyServices = `
apiVersion: v1
kind: Service
metadata: {name: both, namespace: NS}
spec: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6], selector: {app: upstream}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: named, namespace: NS}
spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6], selector: {app: upstream}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: half, namespace: NS}
spec: {ipFamilies: [IPv6], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: half-live, namespace: NS, labels: {kubernetes.io/service-name: half}}
addressType: IPv6
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: ["%[2]s"], conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: half-dead, namespace: NS, labels: {kubernetes.io/service-name: half}}
addressType: IPv6
ports: [{port: 9, protocol: TCP}]
endpoints: [{addresses: ["%[2]s"], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: lame, namespace: NS}
spec: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lame-live, namespace: NS, labels: {kubernetes.io/service-name: lame}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: ["%[1]s"], conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lame-dead, namespace: NS, labels: {kubernetes.io/service-name: lame}}
addressType: IPv6
ports: [{port: 9, protocol: TCP}]
endpoints: [{addresses: ["%[2]s"], conditions: {ready: true}}]
`

// secureIPv6 leads to a server with TLS in IPv6 alone.
const secureIPv6 = `
apiVersion: v1
kind: Service
metadata: {name: secure-ipv6, namespace: NS}
spec: {ipFamilies: [IPv6], selector: {app: servers}, ports: [{port: 443, targetPort: 8443}]}
`

// familyPolicy governs calls to all of them.
const familyPolicy = `
podSelector: {matchExpressions: [{key: app, operator: In, values: [caller, alone]}]}
to:
- {service: {name: both}}
- {service: {name: half}}
- {service: {name: lame}}
- {host: named.NS.svc.cluster.local, ports: [8080]}
loadBalancing: {policy: RoundRobin}
retry: {maxRetries: 5, when: [ConnectFailure, GatewayError], backoff: {initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`

var _ = Describe("address families", Ordered, ContinueOnFailure, func() {
	var alone *corev1.Pod // that has IPv6 alone; nil: the cluster has no such pods

	BeforeAll(func(ctx context.Context) {
		env.needIPv6()
		alone = env.alone(ctx) // before the policy, whose acknowledgement says that it is captured
		ips := env.upstream.Status.PodIPs
		env.applyAll(ctx, fmt.Sprintf(familyServices, ips[0].IP, ips[1].IP))
		env.policy(ctx, "families", familyPolicy)
		for service, n := range map[string]int{"both": 2, "half": 2, "lame": 2} {
			env.known(ctx, service, n)
		}
	}, NodeTimeout(2*time.Minute))

	It("of pods that have IPv6 alone are captured", func(ctx context.Context) {
		if alone == nil {
			Skip("NOT RUN: this cluster has no RuntimeClass ipv6 for pods that have IPv6 alone")
		}
		ip := alone.Status.PodIP
		Expect(alone.Status.PodIPs).To(HaveLen(1))
		Expect(netip.MustParseAddr(ip).Is6()).To(BeTrue(), ip)
		for key, url := range map[string]string{
			"alone-service": "http://both.%s.svc/alone-service?failPercent=30", "alone-host": "http://named.%s.svc.cluster.local:8080/alone-host?failPercent=30",
			"alone-half": "http://half.%s.svc/alone-half?failPercent=30",
		} {
			got := env.call(ctx, alone, fmt.Sprintf(url, env.namespace), "-n", "20", "-fresh")
			Expect(got.OK).To(Equal(20), "%s: %+v", key, got)
			saw := env.seen(ctx, "/"+key)
			Expect(saw.Failed).To(BeNumerically(">", 0), key)
			Expect(saw.Remotes).To(And(HaveLen(1), HaveKey(ip)), key)
		}
	}, NodeTimeout(time.Minute))

	It("of pods that have IPv6 alone are captured with HTTP/2, and with TLS by the agent", func(ctx context.Context) {
		if alone == nil {
			Skip("NOT RUN: this cluster has no RuntimeClass ipv6 for pods that have IPv6 alone")
		}
		got := env.call(ctx, alone, fmt.Sprintf("http://both.%s.svc/alone-http2?failPercent=30", env.namespace), "-n", "20", "-http2")
		Expect(got.OK).To(Equal(20), "%+v", got)
		Expect(got.Protocols).To(Equal(map[string]int{"HTTP/2.0": 20}))
		saw := env.seen(ctx, "/alone-http2")
		Expect(saw.Failed).To(BeNumerically(">", 0))
		Expect(saw.Remotes).To(And(HaveLen(1), HaveKey(alone.Status.PodIP)))

		p := newPrograms(ctx)
		p.applyAll(ctx, secureIPv6)
		p.policy(ctx, "families-tls", `
podSelector: {matchLabels: {app: alone}}
to: [{host: secure-ipv6.NS.svc, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}]
retry: {maxRetries: 5, when: [ConnectFailure, GatewayError], backoff: {initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`)
		from := *p
		from.client = alone
		from.reachable(ctx, "secure-ipv6:443")
		got = env.call(ctx, alone, fmt.Sprintf("http://secure-ipv6.%s.svc/?key=alone-tls&failPercent=30", env.namespace), "-n", "20")
		Expect(got.OK).To(Equal(20), "%+v", got)
		saw = p.saw(ctx, "alone-tls")
		Expect(saw.Failed).To(BeNumerically(">", 0))
		Expect(saw.LastHeader).To(HaveKeyWithValue("X-Scheme", []string{"https"}))
	}, NodeTimeout(4*time.Minute))

	It("are the caller's to choose: endpoints of the other one are no substitute", func(ctx context.Context) {
		from := env.caller()
		for i, own := range from.Status.PodIPs {
			key := fmt.Sprintf("/chosen-%d", i)
			got := env.call(ctx, from, env.addressOf(ctx, "both", i)+key+"?failPercent=30", "-n", "20", "-fresh")
			Expect(got.OK).To(Equal(20), "%+v", got)
			Expect(env.seen(ctx, key).Remotes).To(And(HaveLen(1), HaveKey(own.IP)))
		}
		Expect(env.call(ctx, from, env.addressOf(ctx, "lame", 0)+"/lame", "-n", "5", "-fresh").OK).To(Equal(5))
		dead := env.call(ctx, from, env.addressOf(ctx, "lame", 1)+"/lame", "-n", "5", "-fresh")
		Expect(dead.Reasons).To(Equal(map[string]int{"connect_failure": 5}), "%+v", dead)
		Expect(env.seen(ctx, "/lame").Requests).To(Equal(5), "those of IPv4")
	}, NodeTimeout(time.Minute))
})

// addressOf is the URL of one of a Service's cluster IPs.
func (s *environment) addressOf(ctx context.Context, service string, i int) string {
	GinkgoHelper()
	var v corev1.Service
	Expect(s.k.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: service}, &v)).To(Succeed())
	return "http://" + netip.AddrPortFrom(netip.MustParseAddr(v.Spec.ClusterIPs[i]), 80).String()
}

// alone makes a pod that has IPv6 alone, or returns nil where the cluster has none such.
func (s *environment) alone(ctx context.Context) *corev1.Pod {
	GinkgoHelper()
	if err := s.k.Get(ctx, client.ObjectKey{Name: ipv6Class}, &nodev1.RuntimeClass{}); apierrors.IsNotFound(err) {
		Expect(os.Getenv("REQUIRE_PRIVILEGED")).NotTo(Equal("1"), "this cluster has no RuntimeClass ipv6, and nothing may be skipped")
		return nil
	}
	s.applyAll(ctx, workload("Deployment", "alone", "replicas: 1", "runtimeClassName: "+ipv6Class, "serve")[len("---\n"):])
	DeferCleanup(func(ctx context.Context) {
		d := object(workload("Deployment", "alone", "replicas: 1", "", "serve")[len("---\n"):])
		d.SetNamespace(s.namespace)
		Expect(client.IgnoreNotFound(s.k.Delete(ctx, d))).To(Succeed())
	}, NodeTimeout(time.Minute))
	var ready []corev1.Pod
	Eventually(func() []corev1.Pod {
		ready = readyPods(s.k.pods(ctx, s.namespace, client.MatchingLabels{"app": "alone"}))
		return ready
	}).WithContext(ctx).WithTimeout(time.Minute).Should(HaveLen(1), "a ready pod that has IPv6 alone")
	return &ready[0]
}
