package charts

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/objects"
)

// onlyWith are the objects that the chart has only with these values.
func onlyWith(t *testing.T, values string) map[string]*unstructured.Unstructured {
	t.Helper()
	all := byKey(t, render(t, Main, "fairlead-system", parseValues(t, values)))
	for key := range byKey(t, render(t, Main, "fairlead-system", nil)) {
		delete(all, key)
	}
	return all
}

// TestTheDashboardIsTheSame: the chart has the dashboard of config/dashboard, and nothing of it unless asked.
func TestTheDashboardIsTheSame(t *testing.T) {
	stream, err := manifests.Build(filepath.Join(tree, "config/dashboard"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := objects.Parse(stream)
	if err != nil {
		t.Fatal(err)
	}
	got := onlyWith(t, `{dashboard: {enabled: true}}`)
	for _, o := range got {
		stripHelm(t, o)
	}
	if diff := cmp.Diff(byKey(t, parsed), got); diff != "" {
		t.Errorf("what config/dashboard has (-) and what the chart has (+):\n%s", diff)
	}
}

const proxied = `{dashboard: {enabled: true, hosts: [a.example, b.example], proxy: {port: 4181, container: {image: proxy, args: [--upstream=http://127.0.0.1:8080], securityContext: {runAsUser: 2000}}}}}`

// TestOnlyAProxyMakesTheDashboardReachable: no Service leads to a pod without one, nor past it, and the proxy has neither the token nor rights on the node.
func TestOnlyAProxyMakesTheDashboardReachable(t *testing.T) {
	for values, services := range map[string]int{`{dashboard: {enabled: true}}`: 0, `{dashboard: {enabled: true, hosts: [a.example]}}`: 0, proxied: 1} {
		found := 0
		for _, o := range onlyWith(t, values) {
			switch o.GetKind() {
			case "Service":
				found++
				ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
				if len(ports) != 1 || fmt.Sprint(ports[0].(map[string]any)["targetPort"]) != "4181" {
					t.Errorf("%s: the Service leads to %v", values, ports)
				}
			case "Deployment":
				checkDashboardPod(t, values, o)
			}
		}
		if found != services {
			t.Errorf("%s: %d Services, want %d", values, found, services)
		}
	}
}

func checkDashboardPod(t *testing.T, values string, o *unstructured.Unstructured) {
	t.Helper()
	if mounted, found, _ := unstructured.NestedBool(o.Object, "spec", "template", "spec", "automountServiceAccountToken"); mounted || !found {
		t.Errorf("%s: every container gets the token", values)
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for i := range containers {
		c := containers[i].(map[string]any)
		context, _ := c["securityContext"].(map[string]any)
		drop, _, _ := unstructured.NestedStringSlice(context, "capabilities", "drop")
		if context["allowPrivilegeEscalation"] != false || context["readOnlyRootFilesystem"] != true || !slices.Equal(drop, []string{"ALL"}) {
			t.Errorf("%s: %v has the rights %v", values, c["name"], context)
		}
		args, _, _ := unstructured.NestedStringSlice(c, "args")
		switch c["name"] {
		case "dashboard":
			if strings.Contains(strings.Join(args, " "), "address") || values == proxied && !slices.Contains(args, "--hosts=a.example,b.example") {
				t.Errorf("%s: args %v", values, args)
			}
		case "proxy":
			if c["volumeMounts"] != nil || fmt.Sprint(context["runAsUser"]) != "2000" {
				t.Errorf("%s: the proxy is %v", values, c)
			}
		default:
			t.Errorf("%s: container %v", values, c["name"])
		}
	}
}

// TestTheDashboardOnlyReads: its roles permit no change, no Secret, and of subresources port-forwarding alone, in the namespace of fairlead.
func TestTheDashboardOnlyReads(t *testing.T) {
	roles := 0
	for key, o := range onlyWith(t, proxied) {
		rules, found, _ := unstructured.NestedSlice(o.Object, "rules")
		if !found {
			continue
		}
		roles++
		for i := range rules {
			rule := rules[i].(map[string]any)
			resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
			verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
			forward := slices.Equal(resources, []string{"pods/portforward"}) && slices.Equal(verbs, []string{"create"}) && o.GetKind() == "Role" && o.GetNamespace() == "fairlead-system"
			for _, r := range resources {
				if !forward && (r == "secrets" || strings.ContainsAny(r, "/*")) {
					t.Errorf("%s: resource %s", key, r)
				}
			}
			for _, v := range verbs {
				if !forward && !slices.Contains([]string{"get", "list", "watch"}, v) {
					t.Errorf("%s: verb %s", key, v)
				}
			}
		}
	}
	if roles != 3 {
		t.Errorf("%d roles", roles)
	}
}
