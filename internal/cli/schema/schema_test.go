package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
)

const head = "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: p}\n"

// What test/apivalidation compares with an API server for every rule is here said for some.
func TestPoliciesAreChecked(t *testing.T) {
	c := New()
	for name, tc := range map[string]struct{ kind, text, want string }{
		"a policy":          {"RetryPolicy", head + "spec: {to: [{host: a.example}], retry: {maxRetries: 3}}", ""},
		"too many retries":  {"RetryPolicy", head + "spec: {to: [{host: a.example}], retry: {maxRetries: 11}}", `RetryPolicy.policy.fairlead.dev "p" is invalid: spec.retry.maxRetries: Invalid value: 11: spec.retry.maxRetries in body should be less than or equal to 10`},
		"a value":           {"RetryPolicy", head + "spec: {to: [{host: a.example}], mode: Sometimes}", `spec.mode: Unsupported value: "Sometimes": supported values: "Enforce", "DryRun", "Disabled"`},
		"a type":            {"RetryPolicy", head + "spec: {to: [{host: a.example}], retry: {maxRetries: many}}", `spec.retry.maxRetries: Invalid value: "string": spec.retry.maxRetries in body must be of type integer: "string"`},
		"a rule":            {"RetryPolicy", head + "spec: {to: [{host: a.example, any: {}}]}", `spec.to[0]: Invalid value: `},
		"a name":            {"RetryPolicy", strings.Replace(head, "name: p", "name: P_", 1) + "spec: {to: [{host: a.example}]}", `metadata.name: Invalid value: "P_"`},
		"no destination":    {"ClusterRetryPolicy", strings.Replace(head, "kind: R", "kind: ClusterR", 1) + "spec: {}", `spec.to: Required value`},
		"no spec":           {"RetryPolicy", head, `spec: Required value`},
		"another kind":      {"ConfigMap", "kind: ConfigMap", ""},
		"what is not YAML":  {"RetryPolicy", "[", "this is not YAML"},
		"several at a time": {"RetryPolicy", head + "spec: {to: [{host: a.example}], retry: {maxRetries: 11}, mode: Sometimes}", "is invalid: ["},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Document(tc.kind, []byte(tc.text))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("it says %v, want %s", err, tc.want)
			}
		})
	}
}

func TestSamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../../config/samples/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	c, checked := New(), 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			var of struct{ Kind string }
			if err := yaml.Unmarshal([]byte(document), &of); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(of.Kind, "RetryPolicy") {
				checked++
			}
			if err := c.Document(of.Kind, []byte(document)); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d policies were found", checked)
	}
}
