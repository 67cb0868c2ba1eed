package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"fairlead.dev/fairlead/api/v1alpha1"
)

const (
	systemNamespace = "fairlead-system"
	managerAccount  = "fairlead-manager"
	agentAccount    = "fairlead-agent"
	tokenAudience   = "fairlead-manager"
)

// auditPolicy has the API server log every write of the manager, and nothing else.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + systemNamespace + ":" + managerAccount + `"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// cluster is an API server with its etcd.
type cluster struct {
	env      *envtest.Environment
	dir      string // for files of this run
	auditLog string
	config   *rest.Config          // of an administrator
	policies client.WithWatch      // for our own kinds
	core     *kubernetes.Clientset // for everything in bulk
}

func startCluster(o *options, dir string) (*cluster, error) {
	c := &cluster{dir: dir, auditLog: filepath.Join(dir, "audit.log")}
	policyFile := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policyFile, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	c.env = &envtest.Environment{
		BinaryAssetsDirectory:    o.assets,
		CRDDirectoryPaths:        []string{filepath.Join(o.config, "crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	c.env.ControlPlane.GetAPIServer().Configure().
		Set("service-cluster-ip-range", "10.96.0.0/16").
		Set("audit-policy-file", policyFile).
		Set("audit-log-path", c.auditLog)
	config, err := c.env.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the API server: %w", err), c.env.Stop())
	}
	config.QPS = -1
	c.config = config
	if err := c.connect(o); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) connect(o *options) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	var err error
	if c.policies, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	bulk := rest.CopyConfig(c.config)
	bulk.ContentType = runtime.ContentTypeProtobuf
	if c.core, err = kubernetes.NewForConfig(bulk); err != nil {
		return err
	}
	for _, name := range []string{"default/namespace.yaml", "rbac/service_accounts.yaml", "rbac/role.yaml", "rbac/role_bindings.yaml"} {
		if err := c.apply(filepath.Join(o.config, name)); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	return nil
}

// apply creates the objects of a manifest.
func (c *cluster) apply(file string) error {
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
		if len(u.Object) == 0 {
			continue
		}
		if err := c.policies.Create(context.Background(), u); err != nil {
			return err
		}
	}
}

func (c *cluster) stop() error { return c.env.Stop() }

// token returns a token of a service account of ours.
func (c *cluster) token(ctx context.Context, account string, spec authenticationv1.TokenRequestSpec) (string, error) {
	spec.ExpirationSeconds = ptr.To[int64](2 * 3600)
	answer, err := c.core.CoreV1().ServiceAccounts(systemNamespace).
		CreateToken(ctx, account, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token for %s: %w", account, err)
	}
	return answer.Status.Token, nil
}

// written counts writes of the manager.
type written struct {
	all    int // without TokenReviews, which are questions
	status int // of policies
}

// writes counts what the manager has written so far, by the API server's audit log.
func (c *cluster) writes() (written, error) {
	var w written
	f, err := os.Open(c.auditLog)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return w, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			ObjectRef struct{ Resource, Subresource string }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return w, fmt.Errorf("read the audit log: %w", err)
		}
		if event.ObjectRef.Resource == "tokenreviews" {
			continue
		}
		w.all++
		if event.ObjectRef.Subresource == "status" {
			w.status++
		}
	}
	return w, lines.Err()
}
