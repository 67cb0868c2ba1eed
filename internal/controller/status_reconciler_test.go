package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

func TestFirstAnswerIsNotReady(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	if r := h.run("shop/p0"); r.RequeueAfter == 0 || r.RequeueAfter > time.Second {
		t.Errorf("reconciled again after %s", r.RequeueAfter)
	}
	h.runUntilWritten("shop/p0")
	var got []string
	for i := range h.server.writes {
		got = append(got, ready(&h.server.writes[i]))
	}
	if diff := cmp.Diff([]string{"False/WaitingForNodes", "True/Ready"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAcknowledgementsOfTheGenerationBeforeDoNotCount(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.server.writes = nil
	h.index.SetPolicy("p0", indextest.RetryPolicy(t, "shop", "p0", 2, fmt.Sprintf(onePolicy, "p0")))
	h.run("shop/p0")
	indextest.Publish(h.index, indextest.NewPublished())
	h.run("shop/p0")
	if len(h.server.writes) > 0 {
		t.Fatalf("the new generation is said to be %s before agents were given it", ready(&h.server.writes[0]))
	}
	h.index.Published(2)
	h.run("shop/p0")
	if n := len(h.server.writes); n != 1 || h.server.writes[0].ObservedGeneration != 2 {
		t.Errorf("%d writes after it was published, want one about generation 2", n)
	}
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.traffic("shop/p0", 7, 0)
	h.advance(20*time.Second, nil)
	before := len(h.server.writes)
	h.advance(500*time.Second, func(int) { h.traffic("shop/p0", 7, 0) })
	if n := len(h.server.writes) - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestTrafficIsWrittenAtMostEveryTenSeconds(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	before := *meta.FindStatusCondition(h.server.objects["shop/p0"].Status.Conditions, v1alpha1.ConditionReady)
	h.advance(120*time.Second, func(second int) { h.traffic("shop/p0", uint64(second), 0) })
	if n := h.written[status.ChangeTraffic] + h.written[status.ChangeCounts]; n < 11 || n > 12 {
		t.Errorf("%d writes in 120 s, want one every 10 s", n)
	}
	after := *meta.FindStatusCondition(h.server.objects["shop/p0"].Status.Conditions, v1alpha1.ConditionReady)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("traffic touched a condition: %s", diff)
	}
}

// A breaker may be open for a few seconds only: the column must show it before it has closed again.
func TestABreakerThatOpensIsShownAtThePaceOfCounts(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.advance(trafficInterval, func(int) { h.traffic("shop/p0", 1, 0) })
	for i, want := range []string{"Open(1)", "Closed", "Open(2)"} {
		h.traffic("shop/p0", uint64(2+i), []int{1, 0, 2}[i])
		h.run("shop/p0") // it is announced
		h.advance(countInterval, nil)
		if got := h.server.objects["shop/p0"].Status.Traffic.Breaker; got != want {
			t.Errorf("the column shows %s, want %s", got, want)
		}
	}
}

// Figures of the first moment would stand for ten seconds, and be a guess.
func TestFirstFiguresWaitUntilTheyCoverEnough(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	figures := func(covered time.Duration) distribute.Figures {
		return distribute.Figures{AsOf: h.clock.Now(), Targets: []distribute.TargetFigures{
			{Target: "any", Counts: policy.Counts{Requests: 70, Successes: 70}, PerSecond: 140, Covered: covered}}}
	}
	h.agents.figures[policy.ParseID("shop/p0")] = figures(500 * time.Millisecond)
	h.advance(figuresInterval, nil)
	if got := h.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of half a second: %+v", got)
	}
	h.agents.figures[policy.ParseID("shop/p0")] = figures(5500 * time.Millisecond)
	h.advance(figuresInterval, nil)
	if got := h.server.objects["shop/p0"].Status.Traffic; got == nil || got.RPS != "140" || got.Requests != 70 {
		t.Errorf("figures a report later: %+v", got)
	}
}

func TestQuietTrafficIsNotWrittenAgain(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.advance(120*time.Second, func(int) { h.traffic("shop/p0", 0, 0) })
	if n := h.written[status.ChangeTraffic] + h.written[status.ChangeCounts]; n != 1 {
		t.Errorf("%d writes of figures that did not change", n)
	}
}

func TestSlowCacheIsNotWrittenToTwice(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.server.lag = 1
	for range 10 {
		h.run("shop/p0")
	}
	if n := len(h.server.writes); n != 2 {
		t.Errorf("%d writes while the cache was behind, want 2", n)
	}
}

func TestReadyDoesNotFlapWhenOneMoreNodeIsConcerned(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, WaitingSince: begin}
	h.run("shop/p0")
	h.clock.SetTime(begin.Add(ackGrace - time.Second))
	h.run("shop/p0")
	h.giveTurns()
	s := &h.server.objects["shop/p0"].Status
	if ready(s) != "True/Ready" || s.Nodes.Summary != "1/2" {
		t.Errorf("at first: %s, %s", ready(s), s.Nodes.Summary)
	}
	h.clock.SetTime(begin.Add(ackGrace))
	h.run("shop/p0")
	if ready(s) != "False/WaitingForNodes" {
		t.Errorf("after %s: %s", ackGrace, ready(s))
	}
	h.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 2}
	h.run("shop/p0")
	if ready(s) != "True/Ready" {
		t.Errorf("at last: %s", ready(s))
	}
	for second := range 60 { // always one that is a moment behind, and never the same
		h.clock.SetTime(begin.Add(ackGrace + time.Duration(second)*time.Second))
		h.agents.rollout = distribute.Rollout{Desired: 2 + second, Programmed: 1 + second, Pending: 1, WaitingSince: h.clock.Now()}
		h.run("shop/p0")
		if ready(s) != "True/Ready" {
			t.Fatalf("the next times: %s", ready(s))
		}
	}
}

// The messages of Ready and PartiallyEnforced name pods that could not be captured. What they say changes at the pace of counts, and in
// one write.
func TestMessagesAreWrittenAtThePaceOfCounts(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	id := policy.ParseID("shop/p0")
	say := func(pod string) {
		h.agents.figures[id] = distribute.Figures{Problems: []policy.CaptureProblem{{Namespace: "shop", Pod: pod, Policies: []policy.ID{id}, Reason: "No"}}}
		h.run("shop/p0") // it is announced
	}
	h.clock.SetTime(begin.Add(figuresInterval))
	say("a")
	before, edges := len(h.server.writes), h.written[status.ChangeCondition]
	h.advance(100*time.Second, func(int) { say("a") })
	if n := len(h.server.writes) - before; n != 0 {
		t.Errorf("%d writes of what is said already", n)
	}
	h.advance(10*time.Second, func(second int) { say(fmt.Sprintf("b%d", second)) })
	if n := len(h.server.writes) - before; n < 1 || n > 6 || h.written[status.ChangeCondition] != edges {
		t.Errorf("%d writes in 10 s, %d of them at once", n, h.written[status.ChangeCondition]-edges)
	}
}

func TestAPolicyMadeAnewIsNotAnsweredWithTheOldStatus(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.server.cached["shop/p0"].UID = "made anew"
	if r := h.run("shop/p0"); r.RequeueAfter == 0 || len(h.server.writes) != 0 {
		t.Errorf("%d writes, reconciled again after %s", len(h.server.writes), r.RequeueAfter)
	}
}

func TestProfilesReplacedMeanwhileAreNotTakenForNone(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.agents.rollout = distribute.Rollout{} // nobody uses the profiles that were the policy's a moment ago
	if r := h.run("shop/p0"); r.RequeueAfter == 0 || len(h.server.writes) != 0 {
		t.Errorf("%d writes, reconciled again after %s", len(h.server.writes), r.RequeueAfter)
	}
}

func TestAPolicySwitchedOffIsSoOnceItsNodesHaveAcknowledgedThat(t *testing.T) {
	for _, mode := range []string{"Disabled"} {
		h := newStatusHarness(t, 1, onePolicy)
		h.runUntilWritten("shop/p0")
		h.agents.behind = map[uint64]int{2: 1} // the publication that takes the policy away
		h.index.SetPolicy("p0", indextest.RetryPolicy(t, "shop", "p0", 2, fmt.Sprintf(`{to: [{any: {}}], mode: %s}`, mode)))
		indextest.Publish(h.index, indextest.NewPublished())
		h.index.Published(2)
		h.index.SetPod(indextest.RunningPod("shop", "p0", "node-1", "other")) // what is published later does not matter
		indextest.Publish(h.index, indextest.NewPublished())
		h.index.Published(3)
		h.agents.rollout = distribute.Rollout{}
		r := h.run("shop/p0")
		s := &h.server.objects["shop/p0"].Status
		if got := ready(s); got != "False/WaitingForNodes" || r.RequeueAfter == 0 || r.RequeueAfter > time.Second {
			t.Errorf("%s: %s while a node has yet to acknowledge, reconciled again after %s", mode, got, r.RequeueAfter)
		}
		h.agents.behind = nil
		h.run("shop/p0")
		if got := ready(s); !strings.HasPrefix(got, "True/") {
			t.Errorf("%s: %s once all have", mode, got)
		}
		h.agents.behind = map[uint64]int{2: 1} // an agent comes back and has to catch up
		h.run("shop/p0")
		if got := ready(s); !strings.HasPrefix(got, "True/") {
			t.Errorf("%s: %s later", mode, got)
		}
	}
}

// It may be another one of the same name, made after this one was deleted.
func TestAStatusIsNotWrittenOnAnObjectThatHasChanged(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.server.objects["shop/p0"].ResourceVersion = "77"
	h.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1"}}}
	before := len(h.server.writes)
	if r := h.run("shop/p0"); r.RequeueAfter == 0 || r.RequeueAfter > time.Second || len(h.server.writes) != before {
		t.Errorf("%d writes, reconciled again after %s", len(h.server.writes)-before, r.RequeueAfter)
	}
	h.server.cached["shop/p0"].ResourceVersion = "77"
	h.run("shop/p0")
	if len(h.server.writes) != before+1 {
		t.Errorf("%d writes once the cache has caught up", len(h.server.writes)-before)
	}
}
