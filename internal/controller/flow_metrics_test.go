package controller

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/policy"
)

// Each flow has its series, under the names and labels that docs/guides/inventory.md has.
func TestFlowsAreShownAsMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/guides/inventory.md")
	if err != nil {
		t.Fatal(err)
	}
	s := inventory.New(0, time.Now())
	s.Add(time.Now(), []policy.Flow{flowTo("any", 10)})
	want := map[string]float64{
		"fairlead_inventory_calls_total shop cart up:80 HTTP shop/p any": 10, "fairlead_inventory_failed_calls_total shop cart up:80 HTTP shop/p any": 3,
		"fairlead_inventory_retries_total shop cart up:80 HTTP shop/p any": 2,
	}
	if got := shown(t, s); !maps.Equal(got, want) {
		t.Errorf("shown are %v, want %v", got, want)
	}
	for _, name := range append(slices.Clone(flowLabels), "fairlead_inventory_calls_total", "fairlead_inventory_failed_calls_total", "fairlead_inventory_retries_total") {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/guides/inventory.md does not have %s", name)
		}
	}
}

// What is shown of a flow does not fall when another one of the same policy to the same destination ends, as after an edit of the policy's destinations:
// Prometheus would take that for a beginning, and count all calls again.
func TestNoCounterFallsWhileItIsShown(t *testing.T) {
	begin := time.Now()
	s := inventory.New(0, begin)
	s.Add(begin, []policy.Flow{flowTo("host up", 1000)})
	s.Add(begin.Add(inventory.Kept/2), []policy.Flow{flowTo("any", 10)})
	before := shown(t, s)
	s.Add(begin.Add(inventory.Kept+3*inventory.Slot), []policy.Flow{flowTo("any", 10)})
	after := shown(t, s)
	if len(before) <= len(after) {
		t.Fatalf("no flow has ended: %v, and then %v", before, after)
	}
	for name, n := range after {
		if n < before[name] {
			t.Errorf("%s has fallen from %v to %v", name, before[name], n)
		}
	}
}

// Who takes metrics slowly keeps no agent's report waiting.
func TestFlowsAreAddedWhileMetricsAreTaken(t *testing.T) {
	s := inventory.New(0, time.Now())
	s.Add(time.Now(), []policy.Flow{flowTo("any", 10)})
	to := make(chan prometheus.Metric)
	go func() {
		defer close(to)
		(&flowMetrics{s}).Collect(to)
	}()
	<-to
	s.Add(time.Now(), []policy.Flow{flowTo("any", 10)})
	rest := 0
	for range to {
		rest++
	}
	if rest != 2 {
		t.Errorf("%d more metrics of one flow, want 2", rest)
	}
}

func flowTo(target string, calls uint64) policy.Flow {
	return policy.Flow{
		Caller: policy.Caller{Namespace: "shop", Workload: "cart"}, Policy: policy.ID{Namespace: "shop", Name: "p"}, Target: target,
		Destination: "up:80", Protocol: policy.FlowHTTP, Counts: policy.FlowCounts{Calls: calls, Successes: calls * 7 / 10, Retries: calls / 5},
	}
}

// shown are the values of all series, by their names and the values of their labels.
func shown(t *testing.T, s *inventory.Store) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&flowMetrics{s})
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			of := map[string]string{}
			for _, l := range m.GetLabel() {
				of[l.GetName()] = l.GetValue()
			}
			name := family.GetName()
			for _, l := range flowLabels {
				name += " " + of[l]
			}
			out[name] = m.GetCounter().GetValue()
		}
	}
	return out
}
