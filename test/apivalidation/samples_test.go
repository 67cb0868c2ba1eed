package apivalidation

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

const samplesDir = "../../config/samples"

func samples(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samplesDir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		if contents[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if len(contents) < 6 {
		t.Fatalf("only %d samples in %s", len(contents), samplesDir)
	}
	return contents
}

// A sample says first what it is for, and the Go types know all of it.
func TestSamplesAreExplainedAndTyped(t *testing.T) {
	for file, content := range samples(t) {
		if !bytes.HasPrefix(content, []byte("# ")) {
			t.Errorf("%s does not start with a comment", file)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(content, &kind); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var into any = &v1alpha1.RetryPolicy{}
		if kind.Kind == v1alpha1.ClusterRetryPolicyKind {
			into = &v1alpha1.ClusterRetryPolicy{}
		}
		if err := yaml.UnmarshalStrict(content, into); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// All samples together are applied as a person would, with kubectl.
func TestSamplesApply(t *testing.T) {
	needAPIServer(t)
	out := kubectl(t, "apply", "--namespace", "default", "-k", samplesDir)
	for file, content := range samples(t) {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, u); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if u.GetKind() == v1alpha1.RetryPolicyKind {
			u.SetNamespace("default")
		}
		want := u.Object["spec"]
		if err := apiServer.client.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
			t.Errorf("%s is not in %s/kustomization.yaml: %v\n%s", file, samplesDir, err, out)
			continue
		}
		if !equalJSON(t, want, u.Object["spec"]) {
			t.Errorf("%s: the API server changed the spec", file)
		}
	}
}

// kubectl apply, which keeps objects in an annotation, can install the CRDs.
func TestCRDsApply(t *testing.T) {
	needAPIServer(t)
	out := kubectl(t, "apply", "-k", crdDir)
	for _, c := range loadCRDs(t) {
		if !strings.Contains(out, c.object.Name+" ") {
			t.Errorf("kubectl apply -k %s did not apply %s:\n%s", crdDir, c.object.Name, out)
		}
	}
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := yaml.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// kubectl runs the kubectl that comes with the API server, as an administrator.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	user, err := apiServer.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	out, err := exec.CommandContext(t.Context(), binary, slices.Concat([]string{"--kubeconfig", file}, args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
