package controller

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/policy"
)

// Each flow has its series, under the names that docs/guides/inventory.md has; what two destinations of one policy have in common is added up.
func TestFlowsAreShownAsMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/guides/inventory.md")
	if err != nil {
		t.Fatal(err)
	}
	s := inventory.New(0, time.Now())
	f := policy.Flow{
		Caller: policy.Caller{Namespace: "shop", Workload: "cart"}, Policy: policy.ID{Namespace: "shop", Name: "p"}, Target: "any",
		Destination: "up:80", Protocol: policy.FlowHTTP, Counts: policy.FlowCounts{Calls: 10, Successes: 7, Retries: 2},
	}
	g := f
	g.Target = "host up"
	s.Add(time.Now(), []policy.Flow{f, g})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&flowMetrics{s})
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"fairlead_inventory_calls_total": 20, "fairlead_inventory_failed_calls_total": 6, "fairlead_inventory_retries_total": 4}
	for _, family := range all {
		name := family.GetName()
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/guides/inventory.md does not have %s", name)
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetValue())
		}
		if got := strings.Join(labels, " "); got != "shop cart up:80 shop/p HTTP" || len(family.GetMetric()) != 1 {
			t.Errorf("%s has %d series, the first of %s", name, len(family.GetMetric()), got)
		}
		if got := family.GetMetric()[0].GetCounter().GetValue(); got != want[name] {
			t.Errorf("%s is %v, want %v", name, got, want[name])
		}
	}
	if len(all) != len(want) {
		t.Errorf("there are %d families, want %d", len(all), len(want))
	}
}
