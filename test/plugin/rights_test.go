package plugin

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// may is a rule that lets somebody do something with resources of an API group.
func may(verbs, group, resources string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: []string{group}, Resources: strings.Fields(resources), ResourceNames: names}
}

// grants are the rows of the table in docs/reference/cli.md under Rights, and nothing more.
var grants = map[string]grant{
	"policies": {"", []rbacv1.PolicyRule{may("get list", v1alpha1.GroupName, "retrypolicies clusterretrypolicies")}},
	"watch":    {"", []rbacv1.PolicyRule{may("watch", v1alpha1.GroupName, "retrypolicies clusterretrypolicies")}},
	"system": {system, []rbacv1.PolicyRule{
		may("get", "apps", "deployments daemonsets"), may("list", "", "pods"), may("get", "", "configmaps", "fairlead-ca"),
	}},
	"leases": {"kube-node-lease", []rbacv1.PolicyRule{may("list", "coordination.k8s.io", "leases")}},
	"namespace": {"shop", []rbacv1.PolicyRule{
		may("get", "", "namespaces services"), may("list", "", "pods"), may("list", "discovery.k8s.io", "endpointslices"),
	}},
	"cluster":     {"", []rbacv1.PolicyRule{may("list", "", "namespaces pods services")}},
	"patch":       {"shop", []rbacv1.PolicyRule{may("patch", v1alpha1.GroupName, "retrypolicies")}},
	"patch-all":   {"", []rbacv1.PolicyRule{may("patch", v1alpha1.GroupName, "clusterretrypolicies")}},
	"services":    {"shop", []rbacv1.PolicyRule{may("list", "", "services")}},
	"pods":        {system, []rbacv1.PolicyRule{may("list", "", "pods")}},
	"pod":         {"shop", []rbacv1.PolicyRule{may("get", "", "pods")}},
	"lists":       {system, []rbacv1.PolicyRule{may("list", "apps", "deployments daemonsets")}},
	"events":      {"", []rbacv1.PolicyRule{may("list", "", "events")}},
	"nodes":       {"", []rbacv1.PolicyRule{may("list", "", "nodes")}},
	"callers":     {"shop", []rbacv1.PolicyRule{may("list", "", "pods")}},
	"portforward": {system, []rbacv1.PolicyRule{may("create", "", "pods/portforward")}},
}

// refused is in what a command prints that needs a right.
const refused = "docs/reference/cli.md lists the rights that each command needs"

func TestRights(t *testing.T) {
	needAPIServer(t)
	for name, tc := range map[string]struct {
		args  string
		needs []string
		want  string // in what it prints, with these rights
	}{
		"status":              {"status", []string{"policies", "system"}, "Manager:   1 of 1 ready (fairlead.dev/manager:v0)"},
		"version":             {"version", []string{"system"}, "Agents:  fairlead.dev/agent:v0"},
		"doctor":              {"doctor", []string{"policies", "system", "portforward", "leases"}, "1 clock was compared"},
		"describe":            {"describe payments -n shop", []string{"policies", "namespace"}, "retry.maxRetries"},
		"describe, all":       {"describe crp/base", []string{"policies", "cluster"}, "timeouts.connect"},
		"explain":             {"explain web http://payments/ -n shop", []string{"policies", "namespace"}, "service shop/payments: fits, and governs the call"},
		"diff":                {"diff -n shop -f testdata/change.yaml", []string{"policies", "namespace"}, "retry.maxRetries"},
		"diff, all":           {"diff -f testdata/change-all.yaml", []string{"policies", "cluster"}, "timeouts.connect"},
		"breakers":            {"breakers -n shop", []string{"policies"}, "payments"},
		"breakers, all":       {"breakers -A -o name", []string{"policies"}, "retrypolicy.policy.fairlead.dev/payments"},
		"breakers open":       {"breakers open payments -n shop --for 10m --dry-run=server", []string{"policies", "patch"}, "kept open until"},
		"breakers close, all": {"breakers close crp/base --for 10m --dry-run=server", []string{"policies", "patch-all"}, "kept closed until"},
		"import":              {"import -n shop", []string{"services"}, "name: old"},
		// There is no kubelet here: with all rights the API server cannot reach one.
		"top":       {"top -A", []string{"pods", "portforward"}, "fairlead-manager-0"},
		"top -l":    {"top -n shop -l app=web", []string{"pods", "portforward", "callers"}, "fairlead-manager-0"},
		"tap":       {"tap -A", []string{"pods", "portforward"}, "fairlead-agent-0"},
		"endpoints": {"endpoints", []string{"pods", "portforward"}, "fairlead-agent-0"},
		"history":   {"breakers history -A", []string{"pods", "portforward"}, "fairlead-manager-0"},
		"trace":     {"trace -A", []string{"pods", "portforward"}, "fairlead-agent-0"},
		"trace POD": {"trace web -n shop", []string{"pods", "portforward", "pod"}, "fairlead-agent-0"},
		"suggest":   {"suggest web -n shop --sample 0s", []string{"pods", "portforward"}, "fairlead-manager-0"},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(needs []string) string {
				var have []grant
				for _, n := range needs {
					have = append(have, grants[n])
				}
				var out printed
				_ = fairlead(t.Context(), account(t, have...), &out, strings.Fields(tc.args)...) // what it prints says it
				return out.String()
			}
			if text := run(tc.needs); !strings.Contains(text, tc.want) || strings.Contains(text, refused) || strings.Contains(text, "may not be read") {
				t.Errorf("with all rights it prints\n%s", text)
			}
			for i, without := range tc.needs {
				if text := run(slices.Delete(slices.Clone(tc.needs), i, i+1)); !strings.Contains(text, refused) || !strings.Contains(text, "forbidden") {
					t.Errorf("without %s it prints\n%s", without, text)
				}
			}
		})
	}
}

// A support bundle is written with whatever rights there are, and says what is missing for lack of which.
func TestRightsOfASupportBundle(t *testing.T) {
	needAPIServer(t)
	missing := func(needs ...string) string {
		var have []grant
		for _, n := range needs {
			have = append(have, grants[n])
		}
		var out printed
		if err := fairlead(t.Context(), account(t, have...), &out, "support-bundle", "--file", filepath.Join(t.TempDir(), "bundle.tar.gz")); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "forbidden") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	all := []string{"policies", "system", "portforward", "lists", "events", "nodes"}
	if text := missing(all...); text != "" {
		t.Errorf("with all rights are missing\n%s", text)
	}
	for without, what := range map[string]string{
		"policies": "policies/retrypolicies.yaml", "portforward": "live/manager/inventory.json", "lists": "fairlead/daemonsets.json", "events": "events/fairlead.json", "nodes": "nodes.json",
	} {
		if text := missing(slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == without })...); !strings.Contains(text, "Missing: "+what) {
			t.Errorf("without %s are missing\n%s", without, text)
		}
	}
}

// --watch needs the right to, and prints what changes.
func TestRightsToWatch(t *testing.T) {
	needAPIServer(t)
	var out printed
	if err := fairlead(t.Context(), account(t, grants["policies"], grants["system"]), &out, "breakers", "-A", "--watch"); err == nil || !strings.Contains(out.String(), refused) {
		t.Errorf("without the right it prints\n%s", out.String())
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var watched printed
	done := make(chan error, 1)
	go func() {
		done <- fairlead(ctx, account(t, grants["policies"], grants["watch"]), &watched, "breakers", "-A", "--watch")
	}()
	await(t, &watched, "payments", 1)
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(v1alpha1.GroupVersion().String())
	u.SetKind(v1alpha1.RetryPolicyKind)
	u.SetNamespace("shop")
	u.SetName("payments")
	patch := []byte(`{"status": {"destinations": [{"to": "shop/payments:80", "protocol": "HTTP", "breaker": "HalfOpen"}]}}`)
	if err := cluster.client.Status().Patch(t.Context(), u, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	await(t, &watched, "payments", 2)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// await waits until something was printed n times.
func await(t *testing.T, out *printed, what string, n int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if strings.Count(out.String(), what) >= n {
			return
		}
		<-tick.C
	}
	t.Fatalf("%q is not printed %d times:\n%s", what, n, out.String())
}
