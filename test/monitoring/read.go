package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// folder is config/monitoring, from wherever a test runs.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../config/monitoring")
}

// rule is a rule of Prometheus.
type rule struct {
	Record, Alert, Expr string
	Annotations         map[string]string
}

// rules are those of the PrometheusRule.
type rules struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

// all returns the rules of all groups.
func (r rules) all() (out []rule) {
	for _, g := range r.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// readRules returns the rules, and the text of a rule file with them.
func readRules(t testing.TB) (rules, []byte) {
	t.Helper()
	var object struct{ Spec any }
	text, err := os.ReadFile(filepath.Join(folder(), "prometheus_rule.yaml"))
	check(t, err)
	check(t, yaml.Unmarshal(text, &object))
	spec, err := yaml.Marshal(object.Spec)
	check(t, err)
	var r rules
	check(t, yaml.Unmarshal(spec, &r))
	return r, spec
}

// board is what of a dashboard is looked at.
type board struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ H, W, X, Y int }
		Datasource  *source
		Targets     []struct {
			Expr       string
			Datasource source
		}
	}
}

type source struct{ Type, UID string }

// readBoards returns the dashboards by the names of their files.
func readBoards(t testing.TB) map[string]board {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder(), "dashboards", "*.json"))
	check(t, err)
	out := map[string]board{}
	for _, f := range files {
		text, err := os.ReadFile(f) //nolint:gosec // one of the tree
		check(t, err)
		var b board
		check(t, json.Unmarshal(text, &b))
		out[filepath.Base(f)] = b
	}
	if len(out) < 3 {
		t.Fatalf("%d dashboards", len(out))
	}
	return out
}

// Query is a query of a dashboard.
type Query struct {
	// Panel says where it stands.
	Panel string
	// Expr has everything in place of the dashboard's variables, and a minute in place of the interval that Grafana chooses.
	Expr string
}

// OfManager reports whether the manager serves what the query asks for; otherwise it is the agents.
func (q Query) OfManager() bool { return strings.Contains(q.Expr, "fairlead_controller_") }

// Queries returns the queries of all dashboards.
func Queries(t testing.TB) (out []Query) {
	t.Helper()
	for file, b := range readBoards(t) {
		values := []string{"$__rate_interval", "1m"}
		for _, v := range b.Templating.List {
			values = append(values, "$"+v.Name, ".*")
		}
		in := strings.NewReplacer(values...)
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				out = append(out, Query{file + ", " + p.Title, in.Replace(q.Expr)})
			}
		}
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
