package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"fairlead.dev/fairlead/internal/cli"
)

const system = "fairlead-system"

// cluster is the API server that all tests share. It is set once, before they run.
var cluster struct {
	config *rest.Config
	client client.Client
	set    *kubernetes.Clientset
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return m.Run()
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd"}, ErrorIfCRDPathMissing: true}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop API server:", err)
		}
	}()
	var err error
	if cluster.config, err = env.Start(); err == nil {
		cluster.client, err = client.New(cluster.config, client.Options{})
	}
	if err == nil {
		cluster.set, err = kubernetes.NewForConfig(cluster.config)
	}
	if err == nil {
		err = create("testdata/shop.yaml")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start API server:", err)
		return 1
	}
	return m.Run()
}

// create creates the objects of a file, with their status.
func create(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(u); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		status, has := u.Object["status"]
		if err := cluster.client.Create(context.Background(), u); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
		if !has {
			continue
		}
		u.Object["status"] = status
		if err := cluster.client.Status().Update(context.Background(), u); err != nil {
			return fmt.Errorf("status of %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
}

// needAPIServer skips a test that cannot run here, or fails it where everything must run.
func needAPIServer(t *testing.T) {
	t.Helper()
	if cluster.client != nil {
		return
	}
	const why = "KUBEBUILDER_ASSETS is not set: no kube-apiserver and etcd to test against"
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// grant is what somebody may do, in a namespace or, without one, in all.
type grant struct {
	namespace string
	rules     []rbacv1.PolicyRule
}

// account makes a ServiceAccount that has grants and nothing else, and returns the kubeconfig of whoever has its token.
func account(t *testing.T, grants ...grant) string {
	t.Helper()
	sa, err := cluster.set.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "user-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range grants {
		name := fmt.Sprintf("%s-%d", sa.Name, i)
		meta := metav1.ObjectMeta{Name: name, Namespace: g.namespace}
		subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: sa.Namespace, Name: sa.Name}}
		objects := []client.Object{
			&rbacv1.Role{ObjectMeta: meta, Rules: g.rules},
			&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}},
		}
		if g.namespace == "" {
			objects = []client.Object{
				&rbacv1.ClusterRole{ObjectMeta: meta, Rules: g.rules},
				&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}},
			}
		}
		for _, o := range objects {
			if err := cluster.client.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	token, err := cluster.set.CoreV1().ServiceAccounts(sa.Namespace).CreateToken(t.Context(), sa.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	config := api.Config{
		Clusters:       map[string]*api.Cluster{"test": {Server: cluster.config.Host, CertificateAuthorityData: cluster.config.CAData}},
		AuthInfos:      map[string]*api.AuthInfo{"user": {Token: token.Status.Token}},
		Contexts:       map[string]*api.Context{"test": {Cluster: "test", AuthInfo: "user"}},
		CurrentContext: "test",
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// printed is what a command prints, which may be read while it goes on.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// fairlead runs a command as whoever has a kubeconfig, and adds its error to what it prints.
func fairlead(ctx context.Context, kubeconfig string, out *printed, args ...string) error {
	cmd := cli.New(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: out, ErrOut: out})
	cmd.SetArgs(append(args, "--kubeconfig", kubeconfig))
	err := cmd.ExecuteContext(ctx)
	if cli.Reports(err) {
		fmt.Fprintln(out, "error:", err)
	}
	return err
}
