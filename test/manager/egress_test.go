package manager

import (
	"crypto/x509"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	intercepted = `{to: [{host: api.tax.example, protocol: HTTP, tls: {mode: Intercept, caBundleRef: {kind: System}}}]}`
	egressName  = "fairlead-egress-ca"
	egressLabel = "policy.fairlead.dev/egress-ca"
)

// issuerOf returns the issuer that a node has, or nil.
func issuerOf(a *agent) *x509.Certificate {
	pair := a.client.Snapshot().KeyPairs[policy.IssuerName]
	if pair == nil {
		return nil
	}
	c, err := x509.ParseCertificate(pair.Chain[0])
	Expect(err).NotTo(HaveOccurred())
	return c
}

var _ = Describe("the egress authority", func() {
	It("gives each node an issuer for its hosts, and is published where it is asked for", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a, b := newAgent(ctx, nodeName(ns, 1)), newAgent(ctx, nodeName(ns, 2))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		givenPod(ctx, newPod(ns, "b", nodeName(ns, 2)))
		p := givenPolicy(ctx, ns, "p", intercepted)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Eventually(func(g Gomega) {
			g.Expect(issuerOf(a)).NotTo(BeNil())
			g.Expect(issuerOf(b)).NotTo(BeNil())
		}).Should(Succeed())
		first := issuerOf(a)
		Expect(first.PermittedDNSDomains).To(Equal([]string{"api.tax.example"}))
		Expect(first.Equal(issuerOf(b))).To(BeFalse(), "nodes share an issuer")

		object := &corev1.Namespace{}
		object.Name = ns
		edit(ctx, object, func(n *corev1.Namespace) { n.Labels[egressLabel] = "publish" })
		cm := &corev1.ConfigMap{}
		key := client.ObjectKey{Namespace: ns, Name: egressName}
		Eventually(func() error { return suite.admin.Get(ctx, key, cm) }).Should(Succeed())
		bundle := &certificatesv1beta1.ClusterTrustBundle{}
		Expect(suite.admin.Get(ctx, client.ObjectKey{Name: "fairlead.dev:egress:ca"}, bundle)).To(Succeed())
		Expect(bundle.Spec.SignerName).To(Equal("fairlead.dev/egress"))
		Expect(bundle.Spec.TrustBundle).To(Equal(cm.Data["ca.crt"]))
		roots := x509.NewCertPool()
		Expect(roots.AppendCertsFromPEM([]byte(cm.Data["ca.crt"]))).To(BeTrue())
		_, err := first.Verify(x509.VerifyOptions{Roots: roots})
		Expect(err).NotTo(HaveOccurred())
		Expect(cm.Data).To(HaveLen(1))
		Expect(cm.Data["ca.crt"]).NotTo(ContainSubstring("PRIVATE"))

		edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.To[0].Host = "api.other.example" })
		Eventually(func() []string { return issuerOf(a).PermittedDNSDomains }).Should(Equal([]string{"api.other.example"}))

		edit(ctx, object, func(n *corev1.Namespace) { delete(n.Labels, egressLabel) })
		Eventually(func() error { return suite.admin.Get(ctx, key, cm) }).Should(Satisfy(apierrors.IsNotFound))
		Expect(suite.admin.Delete(ctx, p)).To(Succeed())
		Eventually(func() *x509.Certificate { return issuerOf(a) }).Should(BeNil())
	}, SpecTimeout(time.Minute))

	It("says of a policy what is not intercepted, with the count, as long as agents do", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", intercepted)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Expect(statusNow(ctx, p).Destinations[0].Enforced).To(Equal(v1alpha1.EnforcementFull))
		a.setNotices(policy.CaptureProblem{
			Namespace: ns, Pod: "a", Policies: []policy.ID{{Namespace: ns, Name: "p"}}, Reason: policy.NoticeTLSNotTrusted,
			Message: "it ended 3 TLS handshakes to api.tax.example since it does not trust the egress CA",
		})
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready", v1alpha1.ConditionPartiallyEnforced: "True/TLSNotTrusted"})
		Expect(s.Destinations[0].Enforced).To(Equal(v1alpha1.EnforcementPartial))
		Expect(s.Destinations[0].NotEnforced).To(Equal([]v1alpha1.NotEnforcedField{{Field: "to[0].tls.mode", Reason: v1alpha1.ReasonTLSNotTrusted}}))
		Expect(meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPartiallyEnforced).Message).To(ContainSubstring("ended 3 TLS handshakes"))
		a.setNotices()
		Eventually(func() v1alpha1.Enforcement { return statusNow(ctx, p).Destinations[0].Enforced }).Should(Equal(v1alpha1.EnforcementFull))
	}, SpecTimeout(time.Minute))
})
