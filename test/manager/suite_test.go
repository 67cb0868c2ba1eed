package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller"
)

const (
	system         = "fairlead-system"
	configDir      = "../../config"
	managerAccount = "system:serviceaccount:fairlead-system:fairlead-manager"
)

// cluster is an API server with fairlead's manager.
type cluster struct {
	env     *envtest.Environment
	admin   client.WithWatch
	manager *rest.Config // the manager's own credential
	running *replica
}

// suite is what the specs share.
var suite cluster

func TestManager(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const why = "KUBEBUILDER_ASSETS is not set: no kube-apiserver and etcd to test against"
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "manager")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	log.SetLogger(logr.Discard())
	// ClusterTrustBundles are not served by default before Kubernetes 1.37.
	suite.start(ctx, "certificates.k8s.io/v1beta1=true", "ClusterTrustBundle=true")
})

// start starts it, with an API server that serves what runtimeConfig and featureGates say, besides the default.
func (suite *cluster) start(ctx context.Context, runtimeConfig, featureGates string) {
	GinkgoHelper()
	suite.env = &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(configDir, "crd")}, ErrorIfCRDPathMissing: true}
	suite.env.ControlPlane.GetAPIServer().Configure().Append("runtime-config", runtimeConfig).Append("feature-gates", featureGates)
	cfg, err := suite.env.Start()
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	suite.admin, err = client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	for _, file := range []string{"default/namespace.yaml", "rbac/service_accounts.yaml", "rbac/role.yaml", "rbac/role_bindings.yaml", "rbac/references.yaml"} {
		create(ctx, file)
	}
	user, err := suite.env.AddUser(envtest.User{Name: managerAccount, Groups: []string{"system:serviceaccounts", "system:authenticated"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	suite.manager = user.Config()
	suite.running = startReplica(ctx, false)
}

var _ = AfterSuite(func() { suite.stop() })

func (suite *cluster) stop() {
	GinkgoHelper()
	if suite.running != nil {
		suite.running.stop()
	}
	if suite.env != nil {
		Expect(suite.env.Stop()).To(Succeed())
	}
}

// create creates the objects of a file of config.
func create(ctx context.Context, file string) {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(configDir, file))
	Expect(err).NotTo(HaveOccurred())
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		u := &unstructured.Unstructured{}
		err := d.Decode(u)
		if errors.Is(err, io.EOF) {
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(suite.admin.Create(ctx, u)).To(Succeed(), file)
	}
}

// replica is a manager that runs.
type replica struct {
	address string
	metrics *prometheus.Registry
	cancel  context.CancelFunc
	done    chan error
}

// startReplica starts a manager with the rights of its role.
func startReplica(ctx context.Context, leaderElect bool) *replica {
	GinkgoHelper()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	metrics := prometheus.NewRegistry()
	m, err := controller.New(controller.Options{
		Config: suite.manager, Namespace: system, LeaderElect: leaderElect, Agents: listener, MetricsAddress: "0", HealthAddress: "0",
		Logger: slog.New(slog.NewTextHandler(GinkgoWriter, nil)), Metrics: metrics,
	})
	Expect(err).NotTo(HaveOccurred())
	running, cancel := context.WithCancel(context.Background())
	r := &replica{address: listener.Addr().String(), metrics: metrics, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- m.Run(running) }()
	return r
}

func (r *replica) stop() {
	GinkgoHelper()
	r.cancel()
	Eventually(r.done).WithTimeout(30 * time.Second).Should(Receive(Succeed()))
}

// newNamespace makes a namespace for one spec.
func newNamespace(ctx SpecContext) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-", Labels: map[string]string{"team": "shop"}}}
	Expect(suite.admin.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// nodeName returns a node's name that no other spec uses.
func nodeName(namespace string, n int) string { return fmt.Sprintf("node-%s-%d", namespace, n) }
