package plugin

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/dashboard/model"
)

var served = regexp.MustCompile(`http://\S+/`)

// dashboardOf runs the dashboard with grants, and returns where it is and what ends it.
func dashboardOf(t *testing.T, needs []string) (address string, end func()) {
	t.Helper()
	var have []grant
	for _, n := range needs {
		have = append(have, grants[n])
	}
	kubeconfig := account(t, have...)
	var out printed
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fairlead(ctx, kubeconfig, &out, "dashboard", "--no-open") }()
	await(t, &out, "until Ctrl-C", 1)
	return served.FindString(out.String()), func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// pageOf is what a page's data are.
func pageOf(t *testing.T, address, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The dashboard reads with the rights of who serves it: each page needs those of the table in docs/guides/dashboard.md, says which are missing, and shows the
// rest.
func TestRightsOfTheDashboard(t *testing.T) {
	needAPIServer(t)
	for name, tc := range map[string]struct {
		path  string
		needs []string
		want  string // with these rights
	}{
		// There is no kubelet here: with all rights the API server cannot reach the manager and the agents.
		"policies":      {model.PoliciesPath, []string{"policies", "watch", "pods", "portforward"}, `"shop/payments"`},
		"a policy":      {model.PolicyPath + "?name=shop/payments", []string{"policies", "watch", "namespace", "pods", "portforward"}, "retry.maxRetries"},
		"overview":      {model.OverviewPath, []string{"pods", "portforward"}, "fairlead-manager-0"},
		"a destination": {model.DestinationPath + "?name=shop/payments:80", []string{"pods", "portforward"}, "fairlead-agent-0"},
		"changes":       {model.ChangesPath, []string{"pods", "portforward"}, "fairlead-manager-0"},
		"breakers":      {model.BreakersPath, []string{"pods", "portforward"}, "fairlead-manager-0"},
		"nodes":         {model.NodesPath, []string{"pods", "portforward"}, "fairlead-manager-0"},
		"problems":      {model.ProblemsPath, []string{"policies", "watch", "system", "leases", "portforward"}, "manager and agents are of version v0"},
		"versions":      {model.ClusterPath, []string{"policies", "watch", "system", "portforward"}, "fairlead.dev/agent:v0"},
	} {
		t.Run(name, func(t *testing.T) {
			address, end := dashboardOf(t, tc.needs)
			if text := pageOf(t, address, tc.path); !strings.Contains(text, tc.want) || strings.Contains(text, "forbidden") {
				t.Errorf("with all rights it shows\n%s", text)
			}
			end()
			for i, without := range tc.needs {
				if without == "watch" {
					continue // the watch is opened beside the answer, which may be there before it is refused
				}
				address, end := dashboardOf(t, slices.Delete(slices.Clone(tc.needs), i, i+1))
				if text := pageOf(t, address, tc.path); !strings.Contains(text, "forbidden") {
					t.Errorf("without %s it shows\n%s", without, text)
				}
				end()
			}
		})
	}
}
