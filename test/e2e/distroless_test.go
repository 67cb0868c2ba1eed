package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// distrolessPod is a pod of an image that has one program in Go and nothing else: no shell, no roots. It trusts the egress CA as docs/guides/tls.md says for Go.
func distrolessPod(namespace, node string, aliases ...any) map[string]any {
	image := map[string]any{"name": "program", "image": "fairlead.dev/testserver:dev", "imagePullPolicy": "IfNotPresent", "args": []string{"serve"},
		"env":            []any{map[string]any{"name": "SSL_CERT_DIR", "value": "/egress-ca"}},
		"volumeMounts":   []any{map[string]any{"name": "egress-ca", "mountPath": "/egress-ca", "readOnly": true}},
		"readinessProbe": map[string]any{"tcpSocket": map[string]any{"port": 7070}, "periodSeconds": 1}}
	return map[string]any{"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "distroless", "namespace": namespace, "labels": map[string]any{"app": "distroless"}},
		"spec": map[string]any{"nodeName": node, "terminationGracePeriodSeconds": 0, "hostAliases": aliases, "containers": []any{image},
			"volumes": []any{map[string]any{"name": "egress-ca", "configMap": map[string]any{"name": egressCAName}}}}}
}

var _ = Describe("a distroless pod", func() {
	It("trusts the egress CA by a variable and a volume, and sees no failure that a retry can heal", func(ctx context.Context) {
		p := newPrograms(ctx)
		name, value := publishLabel()
		ns := &corev1.Namespace{}
		ns.Name = p.namespace
		p.label(ctx, ns, name, value)
		Eventually(func() error { return p.k.Get(ctx, p.key(egressCAName), &corev1.ConfigMap{}) }).WithContext(ctx).Should(Succeed())
		p.applyObjects(ctx, distrolessPod(p.namespace, p.client.Spec.NodeName,
			map[string]any{"ip": p.clusterIP(ctx, "nginx-tls"), "hostnames": []string{taxHTTP1, taxHTTP2}}))
		pod := p.ready(ctx, "distroless")
		p.policy(ctx, "distroless", interceptingPolicy("distroless", taxHosts[:2], ""))
		for host, flags := range map[string][]string{taxHTTP1: nil, taxHTTP2: {"-http2"}} {
			got := p.call(ctx, pod, "https://"+host+"/distroless?failFirst=2&key=distroless-"+host, append(flags, "-n", "5")...)
			Expect(got.OK).To(Equal(5), "%s: %+v", host, got)
			Expect(p.saw(ctx, "distroless-"+host).Requests).To(Equal(7), host)
		}
		Expect(p.counted(ctx, "fairlead_proxy_pod_handshakes_total", "distroless", `result="ok"`)).To(BeNumerically(">=", 2), "the agent has ended their TLS")
	}, NodeTimeout(3*time.Minute))
})
