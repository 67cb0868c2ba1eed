package apivalidation

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// shown is a policy that users read: a sample, or what a page of the docs shows.
type shown struct {
	name   string // where it stands, such as docs/guides/limits.md:10
	policy *unstructured.Unstructured
}

// everyPolicyShown returns the samples, and every policy or part of one in the YAML of every page.
func everyPolicyShown(t *testing.T) []shown {
	t.Helper()
	var all []shown
	for file, content := range samples(t) {
		all = append(all, shown{file, policyOf(t, file, string(content))})
	}
	for _, page := range pages(t) {
		if filepath.Base(page) == "samples.md" { // parts of the samples, to which hack/samples_test.go holds it
			continue
		}
		for at, text := range fences(t, page) {
			if u := policyOf(t, at, text); u != nil {
				all = append(all, shown{at, u})
			}
		}
	}
	slices.SortFunc(all, func(a, b shown) int { return strings.Compare(a.name, b.name) })
	return all
}

const repository = "../.."

// pages lists every page of documentation.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

var fence = regexp.MustCompile("(?m)^ *```ya?ml\n((?s:.*?))^ *```$")

// fences returns the YAML that a page shows, by where it stands.
func fences(t *testing.T, page string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(repository, page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range fence.FindAllStringSubmatchIndex(string(b), -1) {
		all[fmt.Sprintf("%s:%d", name, 1+strings.Count(string(b[:m[0]]), "\n"))] = string(b[m[2]:m[3]])
	}
	return all
}

// ofOthers are the top-level fields of what else pages show: parts of pods, and values of the chart.
var ofOthers = []string{"volumes", "containers", "initContainers", "dashboard"}

// policyOf makes a whole policy of what is shown: one that is whole already, a spec, or fields of a spec. What is about other objects is nil.
func policyOf(t *testing.T, at, text string) *unstructured.Unstructured {
	t.Helper()
	m := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &m); err != nil {
		t.Errorf("%s: %v", at, err)
		return nil
	}
	if kind, ok := m["kind"].(string); ok {
		u := &unstructured.Unstructured{Object: m}
		if kind == v1alpha1.RetryPolicyKind {
			u.SetNamespace("default")
		}
		if kind != v1alpha1.RetryPolicyKind && kind != v1alpha1.ClusterRetryPolicyKind {
			return nil
		}
		return u
	}
	for _, field := range ofOthers {
		if m[field] != nil {
			return nil
		}
	}
	if spec, ok := m["spec"].(map[string]any); ok && len(m) == 1 {
		m = spec
	}
	if _, cluster := m["namespaceSelector"]; cluster {
		return object(v1alpha1.ClusterRetryPolicyKind, m)
	}
	if m["to"] == nil {
		m["to"] = []any{map[string]any{"host": "api.example.com", "ports": []any{int64(80)}}}
	}
	return object(v1alpha1.RetryPolicyKind, m)
}
