package charts

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/objects"
)

// monitored are the objects that the chart has only with these values for monitoring.
func monitored(t *testing.T, values string) map[string]*unstructured.Unstructured {
	t.Helper()
	return onlyWith(t, "{monitoring: "+values+"}")
}

// TestMonitoringIsTheSame: the chart has the rules, PodMonitors and dashboards of config/monitoring, and none of them unless asked.
func TestMonitoringIsTheSame(t *testing.T) {
	stream, err := manifests.Build(filepath.Join(tree, "config/monitoring"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := objects.Parse(stream)
	if err != nil {
		t.Fatal(err)
	}
	got := monitored(t, `{podMonitors: {enabled: true}, rules: {enabled: true}, dashboards: {enabled: true}}`)
	for _, o := range got {
		stripHelm(t, o)
	}
	if diff := cmp.Diff(byKey(t, parsed), got); diff != "" {
		t.Errorf("what config/monitoring has (-) and what the chart has (+):\n%s", diff)
	}
}

// TestMonitoringFollowsItsValues: labels, interval, runbooks, and where dashboards go.
func TestMonitoringFollowsItsValues(t *testing.T) {
	all := monitored(t, `{podMonitors: {enabled: true, interval: 10s, labels: {release: prom}}, rules: {enabled: true, labels: {role: alerts}, runbookURL: "https://wiki.example/runbooks"},
  dashboards: {enabled: true, namespace: grafana, annotations: {folder: fairlead}}}`)
	seen := map[string]int{}
	for _, o := range all {
		seen[o.GetKind()]++
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		wants := map[string][]string{
			"PodMonitor": {`"release":"prom"`, `"interval":"10s"`}, "PrometheusRule": {`"role":"alerts"`, `"runbook_url":"https://wiki.example/runbooks#fairlead`},
			"ConfigMap": {`"namespace":"grafana"`, `"folder":"fairlead"`, `"grafana_dashboard":"1"`},
		}[o.GetKind()]
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %s", objects.Key(o), want)
			}
		}
		if strings.Contains(string(text), "https://fairlead.dev") {
			t.Errorf("%s leads to the project's own runbooks", objects.Key(o))
		}
	}
	if diff := cmp.Diff(map[string]int{"PodMonitor": 2, "PrometheusRule": 1, "ConfigMap": 1}, seen); diff != "" {
		t.Error(diff)
	}
}

// TestLinksLeadToTheDocsOfTheInstallation: alerts, and what the manager's Deployment says to the plugin and the dashboard.
func TestLinksLeadToTheDocsOfTheInstallation(t *testing.T) {
	const docs = "https://docs.corp.example/fairlead/"
	found := 0
	for _, o := range render(t, Main, "n", parseValues(t, `{docsURL: "`+docs+`", monitoring: {rules: {enabled: true}}}`)) {
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case o.GetKind() == "Deployment" && o.GetName() == "fairlead-manager":
			found++
			if got := o.GetAnnotations()["policy.fairlead.dev/docs-url"]; got != docs {
				t.Errorf("the manager's Deployment says %q", got)
			}
		case o.GetKind() == "PrometheusRule":
			found++
			if strings.Contains(string(text), "https://fairlead.dev") || !strings.Contains(string(text), `"runbook_url":"https://docs.corp.example/fairlead/operations/runbooks.md#fairlead`) {
				t.Errorf("alerts lead elsewhere: %s", text)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 objects were found", found)
	}
}

// TestValuesOfAnEarlierChart have no docsURL, where helm upgrade --reuse-values takes them.
func TestValuesOfAnEarlierChart(t *testing.T) {
	const rules = "monitoring: {rules: {enabled: true}}"
	if diff := cmp.Diff(render(t, Main, "n", parseValues(t, "{"+rules+"}")), render(t, Main, "n", parseValues(t, "{docsURL: null, "+rules+"}"))); diff != "" {
		t.Error(diff)
	}
}
