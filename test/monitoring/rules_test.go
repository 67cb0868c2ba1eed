package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestRulesAreValid(t *testing.T) {
	r, text := readRules(t)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o600))
	if out := promtool(t, dir, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"); !strings.Contains(out, "SUCCESS") || len(r.all()) < 10 {
		t.Errorf("%d rules: %s", len(r.all()), out)
	}
}

// TestAlertsFireWhenTheyMust: the files of testdata, in the form of Prometheus' own tests of rules.
func TestAlertsFireWhenTheyMust(t *testing.T) {
	_, text := readRules(t)
	files, err := filepath.Glob("testdata/*.yaml")
	check(t, err)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o600))
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			of, err := os.ReadFile(f)
			check(t, err)
			check(t, os.WriteFile(filepath.Join(dir, filepath.Base(f)), of, 0o600))
			if out := promtool(t, dir, "test", "rules", filepath.Base(f)); !strings.Contains(out, "SUCCESS") {
				t.Error(out)
			}
		})
	}
}

// TestEachAlertIsTested: there is a moment at which it fires, and one at which it does not.
func TestEachAlertIsTested(t *testing.T) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("testdata/*.yaml")
	check(t, err)
	for _, f := range files {
		var of struct {
			Tests []struct {
				Alerts []struct {
					Name     string `json:"alertname"`
					Expected []any  `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			}
		}
		text, err := os.ReadFile(f)
		check(t, err)
		check(t, yaml.Unmarshal(text, &of))
		for _, tests := range of.Tests {
			for _, a := range tests.Alerts {
				map[bool]map[string]bool{true: fires, false: quiet}[len(a.Expected) > 0][a.Name] = true
			}
		}
	}
	all, _ := readRules(t)
	for _, r := range all.all() {
		if r.Alert != "" && (!fires[r.Alert] || !quiet[r.Alert]) {
			t.Errorf("%s: a test in which it fires: %v; in which it does not: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

const runbooks = "docs/operations/runbooks.md"

var heading = regexp.MustCompile(`(?m)^## (\w+)$`)

// TestEachAlertHasARunbook: its annotation leads to a section of the page, which has no others.
func TestEachAlertHasARunbook(t *testing.T) {
	page, err := os.ReadFile("../../" + runbooks)
	check(t, err)
	sections := map[string]string{}
	for _, m := range heading.FindAllStringSubmatch(string(page), -1) {
		sections[strings.ToLower(m[1])] = m[1]
	}
	all, _ := readRules(t)
	for _, r := range all.all() {
		if r.Alert == "" {
			continue
		}
		place, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if !strings.HasSuffix(place, "/"+runbooks) || sections[anchor] != r.Alert {
			t.Errorf("%s leads to %s, which is no section of %s with its name", r.Alert, r.Annotations["runbook_url"], runbooks)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", r.Alert)
		}
		delete(sections, anchor)
	}
	for _, name := range sections {
		t.Errorf("%s has a section %s, which is no alert", runbooks, name)
	}
}

// lossRow is the row of a metric that counts what is lost, in docs/reference/metrics.md.
var lossRow = regexp.MustCompile(`(?m)^\| ` + "`" + `(fairlead_[a-z_]+)` + "`" + ` \|.*\b(dropped|lost|not kept)\b`)

// TestWhatIsLostIsSeen: of each metric that counts losses there is an alert, and a panel.
func TestWhatIsLostIsSeen(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	check(t, err)
	var alerts, panels strings.Builder
	all, _ := readRules(t)
	for _, r := range all.all() {
		if r.Alert != "" {
			alerts.WriteString(r.Expr + "\n")
		}
	}
	for _, b := range readBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				panels.WriteString(q.Expr + "\n")
			}
		}
	}
	rows := lossRow.FindAllStringSubmatch(string(page), -1)
	for _, row := range rows {
		if !strings.Contains(alerts.String(), row[1]) || !strings.Contains(panels.String(), row[1]) {
			t.Errorf("%s counts what is lost: an alert asks for it: %v; a panel: %v", row[1],
				strings.Contains(alerts.String(), row[1]), strings.Contains(panels.String(), row[1]))
		}
	}
	if len(rows) < 4 {
		t.Errorf("%d metrics that count losses were found", len(rows))
	}
}

// ours is a name of a series of ours in an expression: a metric, or what a rule records.
var ours = regexp.MustCompile(`\b(?:[a-z_]+:)?fairlead_[a-z_]+(?::\w+)?`)

// TestMetricsThatAreAskedForExist: rules and dashboards ask for nothing that neither agents nor manager serve, nor a rule records.
func TestMetricsThatAreAskedForExist(t *testing.T) {
	known := documented(t)
	all, _ := readRules(t)
	asked := map[string]string{}
	for _, r := range all.all() {
		if r.Record != "" {
			known[r.Record] = true
		}
		asked[r.Expr] = "rule " + r.Record + r.Alert
	}
	for file, b := range readBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				asked[q.Expr] = file + ", " + p.Title
			}
		}
		for _, v := range b.Templating.List {
			asked[v.Definition] = file + ", variable " + v.Name
		}
	}
	names := 0
	for expr, where := range asked {
		for _, name := range ours.FindAllString(expr, -1) {
			if names++; !known[name] {
				t.Errorf("%s asks for %s, which docs/reference/metrics.md does not list and no rule records", where, name)
			}
		}
	}
	if names < 100 {
		t.Errorf("%d names were found", names)
	}
}
