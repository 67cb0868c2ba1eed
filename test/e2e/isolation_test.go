package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/policy"
)

var _ = Describe("trust", func() {
	It("gives a node's agent nothing of another node, and nothing to a token that is not an agent's", func(ctx context.Context) {
		env.policy(ctx, "trust", healing)
		managers := cluster.forwardToManagers(ctx)
		mine := env.caller()
		other := env.upstream.Spec.NodeName
		agent := cluster.agentOn(ctx, mine.Spec.NodeName)
		good := cluster.token(ctx, agentName, agent, "fairlead-manager")

		By("an agent asking for its own node")
		own := cluster.subscribe(ctx, managers, mine.Spec.NodeName, good)
		Eventually(func() bool { return own.State().Connected }).WithContext(ctx).Should(BeTrue(), "%v", own.State().LastError)
		Eventually(func() map[string]*policy.Workload { return own.Snapshot().Workloads }).WithContext(ctx).Should(HaveKey(string(mine.UID)))
		for _, c := range env.callers {
			if c.Spec.NodeName != mine.Spec.NodeName {
				Expect(own.Snapshot().Workloads).NotTo(HaveKey(string(c.UID)), "a pod of "+c.Spec.NodeName)
			}
		}

		for what, t := range map[string]struct{ node, token, refusal string }{
			"another node's name":        {other, good, "another node"},
			"a token for somebody else":  {mine.Spec.NodeName, cluster.token(ctx, agentName, agent, "https://kubernetes.default.svc"), "Unauthenticated"},
			"another account's token":    {mine.Spec.NodeName, cluster.token(ctx, managerName, nil, "fairlead-manager"), "PermissionDenied"},
			"a token bound to no pod":    {mine.Spec.NodeName, cluster.token(ctx, agentName, nil, "fairlead-manager"), "PermissionDenied"},
			"something that is no token": {mine.Spec.NodeName, "nonsense", "Unauthenticated"},
		} {
			By(what)
			c := cluster.subscribe(ctx, managers, t.node, t.token)
			Eventually(func() string { return c.State().LastError }).WithContext(ctx).Should(ContainSubstring(t.refusal), what)
			Expect(c.State().Source).To(Equal(subscribe.SourceNone), what)
			Expect(c.Snapshot().Workloads).To(BeEmpty(), what)
		}
	}, NodeTimeout(time.Minute))
})

// token asks for a service account's token, bound to a pod if there is one.
func (k *kube) token(ctx context.Context, account string, pod *corev1.Pod, audience string) string {
	GinkgoHelper()
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: ptr.To(int64(600))}}
	if pod != nil {
		req.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	got, err := k.set.CoreV1().ServiceAccounts(systemNamespace).CreateToken(ctx, account, req, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return got.Status.Token
}

type acceptsAll struct{}

func (acceptsAll) Apply(*policy.Snapshot) []subscribe.Rejection { return nil }

// subscribe runs the agents' own client for the duration of the spec.
func (k *kube) subscribe(ctx context.Context, managers []string, node, token string) *subscribe.Client {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	var bundle corev1.ConfigMap
	Expect(k.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "fairlead-ca"}, &bundle)).To(Succeed())
	files := map[string]string{"token": token, "ca.crt": bundle.Data["ca.crt"]}
	for name, content := range files {
		Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
	}
	c, err := subscribe.New(subscribe.Options{
		Node: node, Target: fmt.Sprintf("%s.%s.svc:9443", managerName, systemNamespace), Applier: acceptsAll{},
		TokenFile: filepath.Join(dir, "token"), BundleFile: filepath.Join(dir, "ca.crt"),
		Resolve: func(context.Context) ([]string, error) { return managers, nil },
	})
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(running) }()
	DeferCleanup(func() {
		stop()
		Expect(<-done).To(Succeed())
	})
	return c
}

// forwardToManagers makes every manager reachable from the test for the duration of the spec and returns the addresses.
func (k *kube) forwardToManagers(ctx context.Context) []string {
	GinkgoHelper()
	var addresses []string
	for _, p := range readyPods(k.pods(ctx, systemNamespace, client.MatchingLabels{"app.kubernetes.io/name": managerName})) {
		address, stop, err := k.forward(ctx, &p, 9443)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stop)
		addresses = append(addresses, address)
	}
	return addresses
}
