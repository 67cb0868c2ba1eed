package manager

import (
	"context"
	"crypto/x509"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Clusters before Kubernetes 1.37 serve no ClusterTrustBundles. What holds with them is in the other specs.
var _ = Describe("a cluster without ClusterTrustBundles", Ordered, func() {
	BeforeAll(func(ctx context.Context) {
		served := suite
		DeferCleanup(func() { suite = served })
		suite = cluster{}
		DeferCleanup(func() { suite.stop() })
		// Since they are generally available, their feature cannot be switched off.
		suite.start(ctx, "certificates.k8s.io/v1/clustertrustbundles=false,certificates.k8s.io/v1beta1=false,certificates.k8s.io/v1alpha1=false", "ClusterTrustBundle=true")
		err := suite.admin.List(ctx, &certificatesv1beta1.ClusterTrustBundleList{})
		Expect(meta.IsNoMatchError(err)).To(BeTrue(), "it has them after all: %v", err)
	}, NodeTimeout(2*time.Minute))

	It("refuses policies that refer to one, and says what to write instead", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		bind(ctx, ns, "ClusterRole", "fairlead-references")
		p := givenPolicy(ctx, ns, "p", `{to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: ClusterTrustBundle, name: "partner:roots"}}}]}`)
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceNotFound", v1alpha1.ConditionStalled: "True/ReferenceNotFound"})
		Expect(message(s)).To(ContainSubstring("to[0].tls.caBundleRef: this cluster serves no ClusterTrustBundles (certificates.k8s.io); name a ConfigMap or Secret instead."))

		Expect(suite.admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "partner-ca"},
			Data: map[string]string{"ca.crt": string(newCertificate().chain)}})).To(Succeed())
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) {
			p.Spec.To[0].TLS.CABundleRef = &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleConfigMap, Name: "partner-ca"}
		})
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "True/Accepted"})
	}, SpecTimeout(time.Minute))

	It("has the egress CA in ConfigMaps alone", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", intercepted)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		Eventually(func() *x509.Certificate { return issuerOf(a) }).ShouldNot(BeNil())

		object := &corev1.Namespace{}
		object.Name = ns
		edit(ctx, object, func(n *corev1.Namespace) { n.Labels[egressLabel] = "publish" })
		cm := &corev1.ConfigMap{}
		Eventually(func() error { return suite.admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: egressName}, cm) }).Should(Succeed())
		roots := x509.NewCertPool()
		Expect(roots.AppendCertsFromPEM([]byte(cm.Data["ca.crt"]))).To(BeTrue())
		_, err := issuerOf(a).Verify(x509.VerifyOptions{Roots: roots})
		Expect(err).NotTo(HaveOccurred())
	}, SpecTimeout(time.Minute))
})
