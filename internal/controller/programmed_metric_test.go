package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// TestTheMetricSaysWhichPoliciesAreProgrammed: it follows the condition, and ends with the policy.
func TestTheMetricSaysWhichPoliciesAreProgrammed(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(h.statusReconciler)
	shows := func(when, want string) {
		t.Helper()
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range families {
			for _, m := range f.GetMetric() {
				got += fmt.Sprintf("%s %s %v", m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue(), m.GetGauge().GetValue())
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	shows("before anything is known", "")
	h.runUntilWritten("shop/p0")
	shows("on its node", "shop/p0 Programmed 1")

	h.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, WaitingSince: h.clock.Now(), Waiting: []distribute.Waiting{{Node: "n", Connected: true}}}
	h.clock.SetTime(h.clock.Now().Add(time.Minute))
	h.run("shop/p0")
	shows("while a node has not answered for a minute", "shop/p0 WaitingForNodes 0")

	h.index.DeletePolicy(policy.ParseID("shop/p0"))
	h.run("shop/p0")
	shows("once it is gone", "")
}
