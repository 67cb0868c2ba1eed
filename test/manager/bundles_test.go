package manager

import (
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var _ = Describe("the CA bundle of a policy", func() {
	It("is followed by agents while it is replaced, and a bad one leaves the last good one in force", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		bind(ctx, ns, "ClusterRole", "fairlead-references")
		before, after := newCertificate(), newCertificate()
		bundle := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "partner-ca"}, Data: map[string]string{"ca.crt": string(before.chain)}}
		Expect(suite.admin.Create(ctx, bundle)).To(Succeed())
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", `{podSelector: {matchLabels: {app: checkout}},
  to: [{host: api.partner.example, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {name: partner-ca}}}]}`)
		trusted := func() [][]byte {
			if r := a.client.Snapshot().Roots["ConfigMap/"+ns+"/partner-ca/ca.crt"]; r != nil {
				return r.Certificates
			}
			return nil
		}
		becomes := func(text string) {
			GinkgoHelper()
			edit(ctx, bundle, func(c *corev1.ConfigMap) { c.Data["ca.crt"] = text })
		}
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Eventually(trusted).Should(Equal([][]byte{der(before.chain)}))

		becomes(string(slices.Concat(before.chain, after.chain)))
		Eventually(trusted).Should(ConsistOf(der(before.chain), der(after.chain)))
		becomes(string(after.chain))
		Eventually(trusted).Should(Equal([][]byte{der(after.chain)}))

		for _, bad := range []string{"no certificate", string(before.chain) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			becomes(bad)
			s := eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/InvalidCABundle", v1alpha1.ConditionStalled: "True/InvalidCABundle"})
			Expect(message(s)).To(And(ContainSubstring("to[0].tls.caBundleRef: ca.crt of ConfigMap partner-ca"), ContainSubstring("The last good version stays in force.")))
			Expect(a.binding().To.TLS.Roots).NotTo(BeEmpty())
			Expect(trusted()).To(Equal([][]byte{der(after.chain)}))
			becomes(string(after.chain))
			eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		}

		Expect(suite.admin.Delete(ctx, bundle)).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceNotFound"})
		Expect(trusted()).To(Equal([][]byte{der(after.chain)}))
	}, SpecTimeout(time.Minute))
})
