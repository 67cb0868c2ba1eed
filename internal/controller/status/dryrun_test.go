package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// dryRunReports are of a dry run that all nodes have.
func dryRunReports(c policy.DryRunCounts) *Reports {
	r := &Reports{Rollout: distribute.Rollout{Desired: 2, Programmed: 2}}
	r.Figures.Counts.DryRun = c
	r.Figures.AsOf = begin
	return r
}

func dryRunView() *index.View {
	return &index.View{
		Generation: 3, Mode: v1alpha1.ModeDryRun, Pods: 5, InForce: true, HasBreaker: false, Reports: map[index.ReportKey]struct{}{{Target: "any"}: {}},
	}
}

func TestADryRunSaysWhatWouldHaveHappened(t *testing.T) {
	r := dryRunReports(policy.DryRunCounts{Calls: 1234, Retried: 12, CircuitOpen: 3, BreakersOpened: 1})
	r.Figures.DryBreakersOpen = 1
	s := Of(dryRunView(), r, before(), metav1.NewTime(begin))
	want := []string{
		"Accepted True Accepted: The policy is valid.",
		"Programmed True Programmed: All 2 nodes have it (generation 3).",
		"Ready True Ready: The mode is DryRun: the calls of 5 pods on 2 nodes are looked at and pass unchanged.",
		"DryRun True DryRunMode: Calls pass through unchanged. Of 1234 calls within the last minute: 12 would have been retried (whether that would " +
			"have helped cannot be known), 3 would have been rejected by an open circuit breaker. Circuit breakers that would be open: 1.",
	}
	if diff := cmp.Diff(want, brief(s)); diff != "" {
		t.Error(diff)
	}
	figures := &v1alpha1.DryRunTraffic{Calls: 1234, Retried: 12, CircuitOpen: 3, BreakersOpened: 1, BreakersOpen: 1}
	if diff := cmp.Diff(figures, s.Traffic.DryRun); diff != "" {
		t.Error(diff)
	}
	if s.Traffic.Breaker != "-" || s.Mode != v1alpha1.ModeDryRun {
		t.Errorf("breaker %s, mode %s", s.Traffic.Breaker, s.Mode)
	}
}

func TestADryRunWithoutDifferences(t *testing.T) {
	for want, c := range map[string]policy.DryRunCounts{
		"No call was looked at within the last minute.":                               {},
		"Of 1 call within the last minute none would have been treated differently.":  {Calls: 1},
		"Of 7 calls within the last minute none would have been treated differently.": {Calls: 7},
	} {
		if got := DescribeDryRun(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Figures change with every report: they are no reason to write at once.
func TestFiguresOfADryRunAreFigures(t *testing.T) {
	a := Of(dryRunView(), dryRunReports(policy.DryRunCounts{Calls: 1}), before(), metav1.NewTime(begin))
	b := Of(dryRunView(), dryRunReports(policy.DryRunCounts{Calls: 2, Limited: 1}), a, metav1.NewTime(begin.Add(time.Minute)))
	if got := Compare(a, b); got != ChangeTraffic {
		t.Errorf("the change is %s", got)
	}
}

// An agent that does not look at dry runs concerns these, and not what is enforced.
func TestOlderAgentsConcernDryRuns(t *testing.T) {
	for mode, want := range map[v1alpha1.Mode]bool{v1alpha1.ModeDryRun: true, v1alpha1.ModeEnforce: false} {
		v, r := dryRunView(), dryRunReports(policy.DryRunCounts{})
		v.Mode = mode
		r.Rollout.LeftOut = []distribute.LeftOut{{Feature: wire.FeatureDryRun, Nodes: 2, Example: "node-1"}}
		s := Of(v, r, before(), metav1.NewTime(begin))
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPartiallyEnforced)
		if got := c != nil; got != want {
			t.Errorf("%s: partially enforced: %+v", mode, c)
		}
		ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
		if got := strings.Contains(ready.Message, "do not know DryRun"); got != want {
			t.Errorf("%s: %s", mode, ready.Message)
		}
	}
}
