package manager

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// agent is a node's agent without a data plane: it takes what it gets, or refuses it, and reports what the spec sets.
type agent struct {
	client *subscribe.Client
	// managers are those that it asks.
	managers atomic.Pointer[[]*replica]

	mu sync.Mutex
	// guarded by mu
	refuse  string                  // profiles whose name this is are refused if they have seven retries
	reports []*policy.Report        // to send, one after the other
	gauges  *policy.Traffic         // to send when there is nothing else
	notices []policy.CaptureProblem // to send with everything
}

var (
	_ subscribe.Applier  = (*agent)(nil)
	_ subscribe.Reporter = (*agent)(nil)
)

// Apply implements subscribe.Applier.
func (a *agent) Apply(next *policy.Snapshot) []subscribe.Rejection {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != "" && next.Profiles[a.refuse] != nil && next.Profiles[a.refuse].Bindings[0].Base.Retry.MaxRetries == 7 {
		return []subscribe.Rejection{{Profile: a.refuse, Reason: wire.ReasonInvalid, Message: "seven is too many"}}
	}
	return nil
}

// Report implements subscribe.Reporter.
func (a *agent) Report() *policy.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.reports) == 0 && a.gauges != nil {
		return &policy.Report{Traffic: []policy.Traffic{*a.gauges}, Notices: a.notices}
	}
	if len(a.reports) == 0 {
		return &policy.Report{Notices: a.notices}
	}
	r := a.reports[0]
	a.reports = a.reports[1:]
	return r
}

func (a *agent) report(t policy.Traffic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reports = append(a.reports, &policy.Report{Traffic: []policy.Traffic{t}})
}

// setGauges has the agent report these gauges from now on, or that all is quiet.
func (a *agent) setGauges(gauges *policy.Traffic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gauges = gauges
}

// setNotices has the agent say this of pods from now on.
func (a *agent) setNotices(notices ...policy.CaptureProblem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notices = notices
}

// workloads names the pods of the agent's snapshot.
func (a *agent) workloads() []string {
	var names []string
	for _, w := range a.client.Snapshot().Workloads {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names
}

// binding returns the first binding of the only profile, or nil.
func (a *agent) binding() *policy.Binding {
	for p := range maps.Values(a.client.Snapshot().Profiles) {
		return &p.Bindings[0]
	}
	return nil
}

// newAgent runs an agent on a node, with a token as the kubelet would give it, until the spec ends.
func newAgent(ctx SpecContext, node string, managers ...*replica) *agent {
	GinkgoHelper()
	a := &agent{}
	dir := GinkgoT().TempDir()
	token, bundle := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	Expect(os.WriteFile(token, []byte(agentToken(ctx, node)), 0o600)).To(Succeed())
	Eventually(func(g Gomega) {
		cm := &corev1.ConfigMap{}
		g.Expect(suite.admin.Get(ctx, client.ObjectKey{Namespace: system, Name: "fairlead-ca"}, cm)).To(Succeed())
		g.Expect(os.WriteFile(bundle, []byte(cm.Data["ca.crt"]), 0o600)).To(Succeed())
	}).Should(Succeed())
	if len(managers) == 0 {
		managers = []*replica{suite.running}
	}
	a.managers.Store(&managers)
	var err error
	a.client, err = subscribe.New(subscribe.Options{
		Node: node, Target: "fairlead-manager.fairlead-system.svc:9443", TokenFile: token, BundleFile: bundle,
		Applier: a, Reporter: a, ReportInterval: reportInterval, Logger: slog.New(slog.NewTextHandler(GinkgoWriter, nil)),
		Resolve: func(context.Context) ([]string, error) {
			var out []string
			for _, m := range *a.managers.Load() {
				out = append(out, m.address)
			}
			return out, nil
		},
	})
	Expect(err).NotTo(HaveOccurred())
	running, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.client.Run(running) }()
	DeferCleanup(func() {
		cancel()
		Eventually(done).Should(Receive())
	})
	return a
}

// agentToken makes an agent's pod on the node and returns a token bound to it.
func agentToken(ctx SpecContext, node string) string {
	GinkgoHelper()
	pod := newPod(system, "agent-"+node, node)
	pod.Spec.ServiceAccountName = "fairlead-agent"
	Expect(suite.admin.Create(ctx, pod)).To(Succeed())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:      []string{"fairlead-manager"},
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "fairlead-agent"}}
	Expect(suite.admin.SubResource("token").Create(ctx, account, request)).To(Succeed())
	return request.Status.Token
}
