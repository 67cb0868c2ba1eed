package monitoring

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// used is a variable in an expression; those that Grafana sets itself begin with two underscores.
var used = regexp.MustCompile(`\$\{?(\w+)\}?`)

// TestDashboardsAreWellFormed: every query goes to the data source that the variable names and uses no other variables than there are, and no two
// panels have one number, or one place.
func TestDashboardsAreWellFormed(t *testing.T) {
	uids := map[string]string{}
	for file, b := range readBoards(t) {
		if other := uids[b.UID]; other != "" || b.UID == "" {
			t.Errorf("%s and %s have the uid %q", file, other, b.UID)
		}
		uids[b.UID] = file
		variables := map[string]bool{}
		for _, v := range b.Templating.List {
			variables[v.Name] = true
		}
		ids, cells := map[int]bool{}, map[[2]int]string{}
		for _, p := range b.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have the number %d", file, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, taken := cells[[2]int{x, y}]; taken || x >= 24 {
						t.Fatalf("%s: %q lies over %q, or beyond the edge", file, p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Datasource == nil || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
				t.Errorf("%s: %q has the data source %v and %d queries", file, p.Title, p.Datasource, len(p.Targets))
			}
			for _, q := range p.Targets {
				if q.Datasource.UID != "${datasource}" {
					t.Errorf("%s: a query of %q goes to %v", file, p.Title, q.Datasource)
				}
				for _, m := range used.FindAllStringSubmatch(q.Expr, -1) {
					if !variables[m[1]] && !strings.HasPrefix(m[1], "__") {
						t.Errorf("%s: %q uses $%s, which is no variable of the dashboard", file, p.Title, m[1])
					}
				}
			}
		}
	}
}

// TestSuccessIsShownWhereThereIsNone: agents have no series of good calls before the first of them, and that is when one looks.
func TestSuccessIsShownWhereThereIsNone(t *testing.T) {
	const of = `policy="shop/p", target="any"`
	tests, n := "evaluation_interval: 1m\ntests:\n- interval: 15s\n  input_series:\n"+
		"  - {series: 'fairlead_proxy_retry_decisions_total{"+of+", retry_decision=\"exhausted\"}', values: '0+15x40'}\n  promql_expr_test:\n", 0
	for _, q := range Queries(t) {
		if !strings.HasSuffix(q.Panel, ", Success") {
			continue
		}
		labels := "{}"
		if strings.Contains(q.Expr, "by (policy, target)") {
			labels = "{" + of + "}"
		}
		tests += fmt.Sprintf("  - {expr: %q, eval_time: 9m, exp_samples: [{labels: '%s', value: 0}]}\n", q.Expr, labels)
		n++
	}
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "test.yaml"), []byte(tests), 0o600))
	if out := promtool(t, dir, "test", "rules", "test.yaml"); n < 3 || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%d panels: %s", n, out)
	}
}

// TestEveryDashboardIsApplied: the kustomization names each file, with the label that Grafana's sidecar looks for.
func TestEveryDashboardIsApplied(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(folder(), "kustomization.yaml"))
	check(t, err)
	for file := range readBoards(t) {
		if !strings.Contains(string(text), "- dashboards/"+file+"\n") {
			t.Errorf("kustomization.yaml does not name dashboards/%s", file)
		}
	}
	if !strings.Contains(string(text), `grafana_dashboard: "1"`) {
		t.Error("kustomization.yaml sets no label grafana_dashboard")
	}
}
