package manager

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

const partner = `{podSelector: {matchLabels: {app: checkout}}, to: [{host: api.partner.example, ports: [80], protocol: HTTP,
  tls: {mode: Originate, port: 443, caBundleRef: {name: partner-ca}, clientCertificateRef: {name: partner-client}}}]}`

// rightsTimeout is how long it may take until a right that was granted is noticed.
const rightsTimeout = 40 * time.Second

func message(s *v1alpha1.PolicyStatus) string {
	return meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted).Message
}

var _ = Describe("what a policy refers to", func() {
	It("is read where the namespace permits it, distributed to the nodes of its pods, and followed without an edit of the policy", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a, elsewhere := newAgent(ctx, nodeName(ns, 1)), newAgent(ctx, nodeName(ns, 2))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", partner)
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceForbidden", v1alpha1.ConditionReady: "False/ReferenceForbidden"})
		Expect(message(s)).To(ContainSubstring("kubectl create rolebinding fairlead-references --clusterrole=fairlead-references " +
			"--serviceaccount=fairlead-system:fairlead-manager --namespace=" + ns))

		bind(ctx, ns, "ClusterRole", "fairlead-references")
		Eventually(func() string { return outcome(statusNow(ctx, p), 1, v1alpha1.ConditionAccepted) }).WithTimeout(rightsTimeout).Should(Equal("False/ReferenceNotFound"))
		ca, first, second := newCertificate(), newCertificate(), newCertificate()
		Expect(suite.admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "partner-ca"}, Data: map[string]string{"ca.crt": string(ca.chain)}})).To(Succeed())
		secret := secretOf(ns, "partner-client", first)
		Expect(suite.admin.Create(ctx, secret)).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})

		holds := func(key []byte) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				pair := a.client.Snapshot().KeyPairs[ns+"/partner-client"]
				g.Expect(pair).NotTo(BeNil())
				g.Expect(pair.Key).To(Equal(der(key)))
			}).Should(Succeed())
		}
		holds(first.key)
		tls := a.binding().To.TLS
		Expect(tls).To(Equal(policy.TLS{Mode: policy.TLSOriginate, Port: 443, Roots: "ConfigMap/" + ns + "/partner-ca/ca.crt", Certificate: ns + "/partner-client"}))
		Expect(a.client.Snapshot().Roots[tls.Roots].Certificates).To(Equal([][]byte{der(ca.chain)}))
		Expect(elsewhere.client.Snapshot().KeyPairs).To(BeEmpty(), "a node gets no secret that its pods do not need")

		edit(ctx, secret, func(s *corev1.Secret) { s.Data = secretOf(ns, "", second).Data })
		holds(second.key)

		edit(ctx, secret, func(s *corev1.Secret) { s.Data["tls.key"] = first.key })
		s = eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/InvalidCertificate", v1alpha1.ConditionStalled: "True/InvalidCertificate"})
		Expect(message(s)).To(And(ContainSubstring("private key does not match public key"), ContainSubstring("The last good version stays in force.")))
		holds(second.key)
		Expect(suite.admin.Delete(ctx, secret)).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceNotFound"})
		holds(second.key)
		Expect(suite.admin.Create(ctx, secretOf(ns, "partner-client", first))).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		holds(first.key)

		Expect(suite.admin.Delete(ctx, p)).To(Succeed())
		Eventually(func() map[string]*policy.KeyPair { return a.client.Snapshot().KeyPairs }).Should(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("may be permitted name by name", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		Expect(suite.admin.Create(ctx, &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "partner"},
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"partner-client"}, Verbs: []string{"get", "list", "watch"}},
				{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"partner-ca"}, Verbs: []string{"get", "list", "watch"}},
			},
		})).To(Succeed())
		bind(ctx, ns, "Role", "partner")
		c := newCertificate()
		Expect(suite.admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "partner-ca"}, Data: map[string]string{"ca.crt": string(c.chain)}})).To(Succeed())
		Expect(suite.admin.Create(ctx, secretOf(ns, "partner-client", c))).To(Succeed())
		p := givenPolicy(ctx, ns, "p", partner)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "True/Accepted"})
	}, SpecTimeout(time.Minute))

	It("may be a ClusterTrustBundle", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		p := givenPolicy(ctx, ns, "p", `{to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: ClusterTrustBundle, name: partner-`+ns+`}}}]}`)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceNotFound"})
		bundle := &certificatesv1beta1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "partner-" + ns},
			Spec: certificatesv1beta1.ClusterTrustBundleSpec{TrustBundle: string(newCertificate().chain)}}
		Expect(suite.admin.Create(ctx, bundle)).To(Succeed())
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "True/Accepted"})
	}, SpecTimeout(time.Minute))

	It("may be what a proxy is given, which goes where it is needed and is followed", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a, elsewhere := newAgent(ctx, nodeName(ns, 1)), newAgent(ctx, nodeName(ns, 2))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		bind(ctx, ns, "ClusterRole", "fairlead-references")
		p := givenPolicy(ctx, ns, "p", `{podSelector: {matchLabels: {app: checkout}},
  to: [{host: api.example, via: {proxy: "proxy.example:3128", credentialsRef: {name: proxy}}}], retry: {maxRetries: 1}}`)
		s := eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/ReferenceNotFound", v1alpha1.ConditionReady: "False/ReferenceNotFound"})
		Expect(message(s)).To(ContainSubstring("to[0].via.credentialsRef: there is no Secret proxy in namespace " + ns))

		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "proxy"}, Type: corev1.SecretTypeBasicAuth,
			StringData: map[string]string{"username": "u", "password": "first"}}
		Expect(suite.admin.Create(ctx, secret)).To(Succeed())
		s = eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		holds := func(password string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				given := a.client.Snapshot().Credentials[ns+"/proxy"]
				g.Expect(given).NotTo(BeNil())
				g.Expect(given.Username + ":" + given.Password).To(Equal("u:" + password))
			}).Should(Succeed())
		}
		holds("first")
		Expect(a.binding().To.Via).To(Equal(policy.Via{Host: "proxy.example", Port: 3128, Credentials: ns + "/proxy"}))
		Expect(elsewhere.client.Snapshot().Credentials).To(BeEmpty(), "a node gets no secret that its pods do not need")
		for _, d := range s.Destinations {
			Expect(d.NotEnforced).NotTo(ContainElement(HaveField("Field", ContainSubstring("via"))))
		}

		edit(ctx, secret, func(s *corev1.Secret) { s.Data["password"] = []byte("second") })
		holds("second")
		edit(ctx, secret, func(s *corev1.Secret) { s.Data["password"] = []byte("third\n") })
		s = eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/InvalidCredentials"})
		Expect(message(s)).To(And(ContainSubstring("line break"), ContainSubstring("The last good version stays in force."), Not(ContainSubstring("third"))))
		holds("second")

		Expect(suite.admin.Delete(ctx, p)).To(Succeed())
		Eventually(func() map[string]*policy.Credentials { return a.client.Snapshot().Credentials }).Should(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("is all that the manager may read", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		manager, err := client.New(suite.manager, client.Options{Scheme: suite.admin.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		Expect(suite.admin.Create(ctx, secretOf(ns, "other", newCertificate()))).To(Succeed())
		key := client.ObjectKey{Namespace: ns, Name: "other"}
		Expect(manager.Get(ctx, key, &corev1.Secret{})).To(Satisfy(apierrors.IsForbidden))
		Expect(manager.List(ctx, &corev1.SecretList{}, client.InNamespace(ns))).To(Satisfy(apierrors.IsForbidden))
		Expect(manager.List(ctx, &corev1.SecretList{}, client.InNamespace(system))).To(Satisfy(apierrors.IsForbidden))
		Expect(manager.Get(ctx, key, &corev1.ConfigMap{})).To(Satisfy(apierrors.IsForbidden))
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "other"}}
		Expect(manager.Create(ctx, cm)).To(Satisfy(apierrors.IsForbidden))
	}, SpecTimeout(time.Minute))
})
