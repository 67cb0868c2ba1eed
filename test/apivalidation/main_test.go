package apivalidation

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const crdDir = "../../config/crd"

// apiServer is the API server that all tests of this package share. It is set
// once, before the tests run.
var apiServer struct {
	env    *envtest.Environment
	config *rest.Config
	client client.Client
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return m.Run()
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{crdDir}, ErrorIfCRDPathMissing: true}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop API server:", err)
		}
	}()
	apiServer.env = env
	var err error
	if apiServer.config, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start API server:", err)
		return 1
	}
	if apiServer.client, err = client.New(apiServer.config, client.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, "make client:", err)
		return 1
	}
	return m.Run()
}

// needAPIServer skips a test that cannot run here, or fails it where
// everything must run.
func needAPIServer(t *testing.T) {
	t.Helper()
	if apiServer.client != nil {
		return
	}
	const why = "KUBEBUILDER_ASSETS is not set: no kube-apiserver and etcd to test against"
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}
