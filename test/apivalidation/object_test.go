package apivalidation

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/schema"
)

// place puts a fragment of a spec, with the fields of PolicyBody and those
// beside it on one level, where the API allows it to stand.
type place func(t *testing.T, fragment string) *unstructured.Unstructured

// callBlocks are the fields that may also stand in a rule.
var callBlocks = []string{"timeouts", "retry", "circuitBreaker", "rateLimit", "concurrency", "fallback", "faults"}

// besideBody are the fields of a ClusterRetryPolicy that stand beside defaults
// and overrides.
var besideBody = []string{"mode", "namespaceSelector", "podSelector", "to", "rollout", "defaults", "overrides"}

// placesFor returns every place where fragment may stand, by name.
func placesFor(t *testing.T, fragment string) map[string]place {
	t.Helper()
	keys := slices.Collect(maps.Keys(parse(t, fragment)))
	cluster := func(k string) bool { return k == "namespaceSelector" || k == "defaults" || k == "overrides" }
	if slices.ContainsFunc(keys, cluster) {
		return map[string]place{"cluster": inClusterSpec}
	}
	if f, ok := parse(t, fragment)["faults"].(map[string]any); ok && f["mode"] != "Disabled" { // all that a ClusterRetryPolicy may say
		return map[string]place{"spec": inSpec, "rule": inRule}
	}
	places := map[string]place{
		"spec":      inSpec,
		"defaults":  func(t *testing.T, f string) *unstructured.Unstructured { return inBody(t, "defaults", f) },
		"overrides": func(t *testing.T, f string) *unstructured.Unstructured { return inBody(t, "overrides", f) },
	}
	if !slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(callBlocks, k) }) {
		places["rule"] = inRule
	}
	return places
}

func inSpec(t *testing.T, fragment string) *unstructured.Unstructured {
	t.Helper()
	return object(v1alpha1.RetryPolicyKind, parse(t, fragment))
}

func inClusterSpec(t *testing.T, fragment string) *unstructured.Unstructured {
	t.Helper()
	return object(v1alpha1.ClusterRetryPolicyKind, parse(t, fragment))
}

func inBody(t *testing.T, block, fragment string) *unstructured.Unstructured {
	t.Helper()
	spec, body := map[string]any{}, map[string]any{}
	for k, v := range parse(t, fragment) {
		if slices.Contains(besideBody, k) {
			spec[k] = v
		} else {
			body[k] = v
		}
	}
	spec[block] = body
	return object(v1alpha1.ClusterRetryPolicyKind, spec)
}

func inRule(t *testing.T, fragment string) *unstructured.Unstructured {
	t.Helper()
	rule := parse(t, fragment)
	rule["name"] = "r"
	rule["match"] = []any{map[string]any{"methods": []any{"GET"}}}
	return object(v1alpha1.RetryPolicyKind, map[string]any{"rules": []any{rule}})
}

func parse(t *testing.T, fragment string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(fragment), &m); err != nil {
		t.Fatalf("fragment %s: %v", fragment, err)
	}
	return m
}

// object is a policy with this spec. A spec that names no destination gets one
// that no rule objects to.
func object(kind string, spec map[string]any) *unstructured.Unstructured {
	if _, ok := spec["to"]; !ok {
		spec["to"] = []any{map[string]any{"host": "api.example.com"}}
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(kind))
	u.SetName("p")
	if kind == v1alpha1.RetryPolicyKind {
		u.SetNamespace("default")
	}
	return u
}

// send asks the API server to create u, without keeping it, as strictly as
// kubectl does.
func send(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	text, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	offline := checker.Document(u.GetKind(), text)
	err = apiServer.client.Create(t.Context(), u, client.DryRunAll, client.FieldValidation("Strict"))
	if err == nil && offline != nil || apierrors.IsInvalid(err) && !slices.Equal(sentences(err), sentences(offline)) {
		t.Errorf("the API server says %v, and without one it is said: %v", err, offline)
	}
	return err
}

// sentences are the causes of a refusal, which the API server lists in no order.
func sentences(err error) (all []string) {
	if err == nil {
		return nil
	}
	for _, c := range causes(err) {
		all = append(all, c.Field+": "+c.Message)
	}
	slices.Sort(all)
	return all
}

// checker checks policies without an API server: what it says is compared with what one says.
var checker = schema.New()

// mustAccept fails the test if the API server refuses u.
func mustAccept(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	if err := send(t, u); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// mustRefuse fails the test unless the API server refuses u for exactly one
// reason, ending in message.
func mustRefuse(t *testing.T, u *unstructured.Unstructured, message string) {
	t.Helper()
	err := send(t, u)
	if err == nil {
		t.Errorf("accepted, want refused with: %s", message)
		return
	}
	if !apierrors.IsInvalid(err) {
		t.Errorf("want it refused as invalid, got: %v", err)
		return
	}
	all := causes(err)
	if len(all) == 0 {
		t.Errorf("refused without a cause: %v", err)
	}
	for _, cause := range all {
		if !strings.HasSuffix(cause.Message, message) {
			t.Errorf("refused at %s with %q, want only: %s", cause.Field, cause.Message, message)
		}
	}
}

func causes(err error) []metav1.StatusCause {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return []metav1.StatusCause{{Message: err.Error()}}
	}
	return status.Status().Details.Causes
}
