package charts

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/objects"
)

// startAPIServer starts an API server with the namespaces that the values in testdata name.
func startAPIServer(t *testing.T) client.Client {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const why = "KUBEBUILDER_ASSETS is not set: no kube-apiserver and etcd to test against"
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	env := &envtest.Environment{}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stop API server: %v", err)
		}
	})
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fairlead-system", "shop"} {
		if err := c.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestAnAPIServerAdmitsEverything: an API server takes each object as it is, without a field that it does not know and with everything that it
// validates, whatever the values.
func TestAnAPIServerAdmitsEverything(t *testing.T) {
	c := startAPIServer(t)
	installed, err := manifests.Build(filepath.Join(tree, "config/default"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := objects.Parse(installed)
	if err != nil {
		t.Fatal(err)
	}
	admit(t, c, "config/default", parsed)
	admit(t, c, CRDs, render(t, CRDs, "fairlead-system", nil))
	for name, values := range valuesFiles(t) {
		admit(t, c, name, render(t, Main, "fairlead-system", values))
	}
	wrong := parsed[0].DeepCopy()
	wrong.Object["sepc"] = map[string]any{}
	if err := apply(c, wrong); err == nil {
		t.Error("an object with a field that there is not was admitted: this test finds nothing")
	}
}

func admit(t *testing.T, c client.Client, of string, all []*unstructured.Unstructured) {
	t.Helper()
	if len(all) == 0 {
		t.Errorf("%s has no objects", of)
	}
	for _, o := range all {
		if err := apply(c, o.DeepCopy()); err != nil {
			t.Errorf("%s: %s: %v", of, objects.Key(o), err)
		}
	}
}

// apply asks the API server what it would do. Server-side apply refuses fields that there are not.
func apply(c client.Client, o *unstructured.Unstructured) error {
	return c.Apply(context.Background(), client.ApplyConfigurationFromUnstructured(o), client.DryRunAll, client.FieldOwner("helm"), client.ForceOwnership)
}
