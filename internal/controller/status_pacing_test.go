package controller

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

func named(i int) string { return fmt.Sprintf("shop/p%d", i) }

// newProgrammed makes policies that have all been programmed and are all called.
func newProgrammed(t *testing.T, policies int) *statusHarness {
	h := newStatusHarness(t, policies, onePolicy)
	for i := range policies {
		h.clock.SetTime(h.clock.Now().Add(2 * time.Second / conditionsPerSecond)) // two writes each
		h.runUntilWritten(named(i))
	}
	return h
}

// newFigures gives every policy figures that differ from all before.
func (h *statusHarness) newFigures(policies int) func(second int) {
	return func(second int) {
		for i := range policies {
			h.traffic(named(i), uint64(1000*second+i), 0)
		}
	}
}

// All policies have new figures all the time, many more than can be written: each has its turn all the same, none before another that
// has waited longer, and none is reconciled in vain.
func TestWritesAreSharedOutFairly(t *testing.T) {
	const policies, rounds = 200, 4
	h := newProgrammed(t, policies)
	const round = policies * time.Second / figuresPerSecond
	last, writes := map[string]time.Time{}, map[string]int{}
	h.server.wrote = func(name string) {
		if before, ok := last[name]; ok && h.clock.Since(before) > round+5*time.Second {
			t.Errorf("%s waited %s, want %s", name, h.clock.Since(before), round)
		}
		last[name] = h.clock.Now()
		writes[name]++
	}
	reconciled := h.agents.asked
	h.advance(rounds*round, h.newFigures(policies))
	for i := range policies {
		if n := writes[named(i)]; n < rounds-1 || n > rounds+1 {
			t.Errorf("%s was written %d times in %d rounds", named(i), n, rounds)
		}
	}
	if n := h.agents.asked - reconciled; n > policies*(rounds+1) {
		t.Errorf("%d reconciliations of %d policies in %d rounds", n, policies, rounds)
	}
	if n := len(h.server.writes); n > 2*policies+policies*rounds+figureBurst {
		t.Errorf("%d writes", n)
	}
}

// A condition is waited for: it is written at once, whoever waits for a turn.
func TestConditionsAreWrittenBeforeAllTurns(t *testing.T) {
	const policies = 60
	h := newProgrammed(t, policies)
	h.advance(10*time.Second, h.newFigures(policies))
	h.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1"}}}
	before := h.written[status.ChangeCondition]
	for i := range policies {
		h.run(named(i))
	}
	if n := h.written[status.ChangeCondition] - before; n != policies {
		t.Errorf("%d of %d changes of a condition were written at once", n, policies)
	}
}

// What changes in the cluster does not wait behind the figures of all policies, and they do not wait for ever behind it.
func TestCountsAndFiguresTakeTurns(t *testing.T) {
	const policies = 200
	h := newProgrammed(t, policies)
	h.advance(30*time.Second, h.newFigures(policies))
	h.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 2}
	h.run(named(7))
	h.advance(2*time.Second, h.newFigures(policies))
	if got := h.server.objects[named(7)].Status.Nodes.Summary; got != "2/2" {
		t.Errorf("after two seconds the nodes are %s", got)
	}
	written := map[string]bool{}
	h.server.wrote = func(name string) { written[name] = true }
	h.advance(20*time.Second, func(second int) {
		h.agents.rollout = distribute.Rollout{Desired: 2 + second%2, Programmed: 2 + second%2}
		for i := range policies / 2 {
			h.run(named(i)) // their counts change all the time
		}
		for i := policies / 2; i < policies; i++ {
			h.traffic(named(i), uint64(100000+1000*second+i), 0)
		}
	})
	others := 0
	for i := policies / 2; i < policies; i++ {
		if written[named(i)] {
			others++
		}
	}
	if all := len(written); others < all/3 || others > all*2/3 {
		t.Errorf("%d policies were written in 20 s, and %d of them are others than those whose counts change", all, others)
	}
}

// Very many quiet policies are not reconciled as often as agents report.
func TestReconciliationsAreBounded(t *testing.T) {
	const policies, seconds = 600, 30
	h := newProgrammed(t, policies)
	for i := range policies {
		h.traffic(named(i), 1, 0)
	}
	h.advance(policies*time.Second/figuresPerSecond+10*time.Second, nil)
	before, writes := h.agents.asked, len(h.server.writes)
	h.advance(seconds*time.Second, nil)
	if n := h.agents.asked - before; n > seconds*checksPerSecond*11/10 || n < seconds*checksPerSecond/2 {
		t.Errorf("%d reconciliations in %d s", n, seconds)
	}
	if n := len(h.server.writes) - writes; n > 0 {
		t.Errorf("%d writes of what has not changed", n)
	}
}

// The pods may go at any time, also right after figures were written.
func TestFiguresGoWithThePods(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.advance(20*time.Second, h.newFigures(1))
	if h.server.objects["shop/p0"].Status.Traffic == nil {
		t.Fatal("no figures")
	}
	h.index.DeletePod("shop", "p0")
	indextest.Publish(h.index, indextest.NewPublished())
	h.index.Published(2)
	h.agents.rollout = distribute.Rollout{}
	h.run("shop/p0")
	h.advance(countInterval, nil)
	if got := h.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of pods that are gone: %+v", got)
	}
	if got := *h.server.objects["shop/p0"].Status.MatchedPods; got != 0 {
		t.Errorf("%d pods", got)
	}
}

func TestFiguresGoWhenNoAgentReports(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.advance(20*time.Second, h.newFigures(1))
	from, f := h.clock.Now(), h.agents.figures[policy.ParseID("shop/p0")]
	h.advance(status.Silence+figuresInterval+trafficInterval, func(int) {
		f.Age = h.clock.Since(from)
		h.agents.figures[policy.ParseID("shop/p0")] = f
	})
	if got := h.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of agents that are silent: %+v", got)
	}
}

// A node that has yet to answer counts against the policy after a while, though nothing happens then.
func TestAckGraceEndsByItself(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, WaitingSince: h.clock.Now()}
	h.clock.SetTime(h.clock.Now().Add(time.Second))
	if r := h.run("shop/p0"); r.RequeueAfter != ackGrace-time.Second {
		t.Errorf("reconciled again after %s, want %s", r.RequeueAfter, ackGrace-time.Second)
	}
}

// Where the conditions of all policies change again and again, the writes are bounded, none waits longer than the others, and a policy
// whose conditions change all the time takes nothing from those that change once.
func TestAStormOfConditionsIsSharedOutFairly(t *testing.T) {
	const policies, seconds = 1000, 20
	h := newProgrammed(t, policies)
	h.advance(time.Minute, nil) // the budget is full again
	writes := map[string]int{}
	h.server.wrote = func(name string) { writes[name]++ }
	before := h.written[status.ChangeCondition]
	h.agents.of = map[policy.ID]distribute.Rollout{}
	fail := func(i, failed int) {
		h.agents.of[policy.ParseID(named(i))] = distribute.Rollout{
			Desired: 1, Programmed: 1 - failed, Failed: failed, Failures: []distribute.Failure{{Node: "node-1"}}[:failed]}
		h.run(named(i))
	}
	h.advance(seconds*time.Second, func(second int) {
		for i := range policies / 10 {
			fail(i, second%2) // the conditions of these change all the time
		}
		for i := policies / 10; i < policies && second == 1; i++ {
			fail(i, 1) // and those of the others once
		}
	})
	if n := h.written[status.ChangeCondition] - before; n > conditionBurst+figureBurst+seconds*(conditionsPerSecond+figuresPerSecond) {
		t.Errorf("%d writes of conditions in %d s", n, seconds)
	}
	for i := range policies {
		if writes[named(i)] == 0 {
			t.Fatalf("%s was not written in %d s", named(i), seconds)
		}
	}
}
