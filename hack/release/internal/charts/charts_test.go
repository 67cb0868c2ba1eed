package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/objects"
)

const tree = "../../../.."

func chartDir(name string) string { return filepath.Join(tree, "charts", name) }

// valuesFiles are values with which the charts must work, by name; defaults is none.
func valuesFiles(t *testing.T) map[string]map[string]any {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("testdata has %d files of values: %v", len(paths), err)
	}
	all := map[string]map[string]any{"defaults": {}}
	for _, path := range paths {
		all[strings.TrimSuffix(filepath.Base(path), ".yaml")] = readValues(t, path)
	}
	return all
}

func readValues(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return values
}

func render(t *testing.T, chart, namespace string, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	out, err := Render(chartDir(chart), namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestChartsAndManifestsAreTheSame: with their defaults the charts install what config/default installs. Two things are the installer's: Helm
// makes the namespace itself, and labels what it manages.
func TestChartsAndManifestsAreTheSame(t *testing.T) {
	stream, err := manifests.Build(filepath.Join(tree, "config/default"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := objects.Parse(stream)
	if err != nil {
		t.Fatal(err)
	}
	want := byKey(t, parsed)
	namespace := want["/v1, Kind=Namespace /fairlead-system"]
	if namespace == nil {
		t.Fatal("config/default has no namespace")
	}
	delete(want, objects.Key(namespace))
	rendered := render(t, Main, "fairlead-system", nil)
	rendered = append(rendered, render(t, CRDs, "fairlead-system", nil)...)
	for _, o := range rendered {
		stripHelm(t, o)
	}
	if diff := cmp.Diff(want, byKey(t, rendered)); diff != "" {
		t.Errorf("what config/default has (-) and what the charts have (+):\n%s", diff)
	}
}

// stripHelm removes what only Helm's objects have, of which each must have all.
func stripHelm(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	labels := o.GetLabels()
	for _, label := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"} {
		if labels[label] == "" {
			t.Errorf("%s has no label %s", objects.Key(o), label)
		}
		delete(labels, label)
	}
	o.SetLabels(labels)
	if o.GetKind() != "CustomResourceDefinition" {
		return
	}
	annotations := o.GetAnnotations()
	if annotations["helm.sh/resource-policy"] != "keep" {
		t.Errorf("%s would go with its release, and all policies with it", objects.Key(o))
	}
	delete(annotations, "helm.sh/resource-policy")
	o.SetAnnotations(annotations)
}

func byKey(t *testing.T, all []*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, o := range all {
		if found[objects.Key(o)] != nil {
			t.Errorf("there are two of %s", objects.Key(o))
		}
		found[objects.Key(o)] = o
	}
	return found
}

// TestHelmLintFindsNothing: neither an error nor a warning, with any values.
func TestHelmLintFindsNothing(t *testing.T) {
	for name, values := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			lint := action.NewLint()
			lint.Strict = true
			result := lint.Run([]string{chartDir(Main)}, values)
			if result.TotalChartsLinted != 1 || action.HasWarningsOrErrors(result) {
				t.Errorf("helm lint: %v, %v", result.Messages, result.Errors)
			}
		})
	}
	if result := action.NewLint().Run([]string{chartDir(CRDs)}, nil); result.TotalChartsLinted != 1 || action.HasWarningsOrErrors(result) {
		t.Errorf("helm lint: %v, %v", result.Messages, result.Errors)
	}
}

// TestPackagesAreReproducible: whenever the files were written, an archive is the same, and what it holds knows its version and its images.
func TestPackagesAreReproducible(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	version := Version{Version: "1.2.3", Registry: "registry.example/tools", Digests: map[string]string{"manager": digest}}
	var archives [2][]byte
	for i := range archives {
		dir := filepath.Join(t.TempDir(), Main)
		if err := os.CopyFS(dir, os.DirFS(chartDir(Main))); err != nil {
			t.Fatal(err)
		}
		path, err := Package(dir, t.TempDir(), version)
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		images := map[string]string{}
		packaged, err := Render(path, "n", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range packaged {
			if image := imageOf(o); image != "" {
				images[o.GetName()] = image
			}
		}
		want := map[string]string{"fairlead-manager": "registry.example/tools/manager:1.2.3@" + digest, "fairlead-agent": "registry.example/tools/agent:1.2.3"}
		if diff := cmp.Diff(want, images); diff != "" {
			t.Errorf("images (-want +got):\n%s", diff)
		}
	}
	if string(archives[0]) != string(archives[1]) {
		t.Error("two archives of the same files differ")
	}
}

// imageOf is the image of a workload's container.
func imageOf(o *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	return fmt.Sprint(containers[0].(map[string]any)["image"])
}
