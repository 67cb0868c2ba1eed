package wire_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/controller/distribute"
)

func TestAnAgentTooSlowToApplyIsCutOffAndCatchesUp(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		slow := &applier{block: make(chan struct{})}
		a := w.agent(agentOptions{node: "n0", applier: slow})
		defer a.stop()
		time.Sleep(45 * time.Second)
		if n := leader.store.Size().Agents; n != 0 {
			t.Errorf("%d agents, want the slow one cut off", n)
		}
		leader.publish(t, shop(2))
		close(slow.block)
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
		if r := leader.rollout("everyone"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
	})
}

func TestWithoutAManagerPolicyStaysInForceAlsoOverARestart(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0"})
		defer func() { a.stop() }()
		awaitQuiet()
		w.stopManagers()
		time.Sleep(time.Hour)
		wantEdits(t, a, map[string]int{"a": 1, "b": 1})
		if s := a.State(); s.Connected || s.LastError == "" || s.Source != subscribe.SourceManager {
			t.Errorf("state %+v", s)
		}

		a.stop()
		a = w.agent(agentOptions{node: "n0"})
		synctest.Wait() // no time passes: the copy on disk is applied before anything else
		wantEdits(t, a, map[string]int{"a": 1, "b": 1})
		if s := a.State(); s.Source != subscribe.SourceDisk || s.Workloads != 2 {
			t.Errorf("state %+v", s)
		}
		time.Sleep(time.Hour)
		back := w.leader("b:1")
		back.publish(t, shop(2))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
	})
}

func TestADamagedCopyIsIgnoredAndReplaced(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		w.write("copy-n0", []byte("fairlead-set-1\nnonsense"))
		a := w.agent(agentOptions{node: "n0"})
		synctest.Wait()
		if s := a.State(); s.Source != subscribe.SourceNone {
			t.Errorf("state %+v", s)
		}
		w.leader("a:1").publish(t, shop(1))
		awaitQuiet()
		a.stop()
		w.stopManagers()
		a = w.agent(agentOptions{node: "n0"})
		defer a.stop()
		synctest.Wait()
		wantEdits(t, a, map[string]int{"a": 1, "b": 1})
	})
}

func TestReconnectsToAManagerThatIsAwayBackOff(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		var mu sync.Mutex
		dials := 0
		w.resolve = func() ([]string, error) { return []string{"away:1"}, nil }
		a := w.agent(agentOptions{node: "n0", onDial: func() { mu.Lock(); dials++; mu.Unlock() }})
		defer a.stop()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if dials < 120 || dials > 250 {
			t.Errorf("%d attempts in ten minutes", dials)
		}
	})
}

// A second client with an agent's own token takes its place over and over, as each replaces the other, and acknowledges at once what the
// agent takes a while to apply. Once it has left, the agent is back within a moment, and nothing is taken for acknowledged that the agent
// has not applied.
func TestAClientThatTakesAnAgentsPlaceLeavesNothingBehind(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0", applier: &applier{takes: 300 * time.Millisecond}})
		defer a.stop()
		for edit := 2; edit < 30; edit += 4 {
			other := w.agent(agentOptions{node: "n0", noCopy: true})
			time.Sleep(7 * time.Second)
			leader.publish(t, shop(edit))
			time.Sleep(time.Duration(edit) * 50 * time.Millisecond)
			other.stop()
			time.Sleep(time.Duration(edit) * 10 * time.Millisecond)
			leader.publish(t, func(b *distribute.Batch) { b.RemoveWorkload("u0"); b.RemoveProfile("a") })
			time.Sleep(time.Duration(edit) * 7 * time.Millisecond)
			leader.publish(t, shop(edit+1))
			left := time.Now()
			for leader.rollout("a").Programmed == 0 {
				time.Sleep(time.Millisecond)
			}
			if got := edits(a.applier.snapshot())["a"]; got != edit+1 {
				t.Errorf("edit %d is said to be programmed, the agent has %d", edit+1, got)
			}
			if took := time.Since(left); took > 2*time.Second {
				t.Errorf("it took %s after the other one had left", took)
			}
			// And now while the agent is connected and has yet to remove it.
			leader.publish(t, func(b *distribute.Batch) { b.RemoveWorkload("u0"); b.RemoveProfile("a") })
			time.Sleep(time.Duration(edit) * 9 * time.Millisecond)
			leader.publish(t, shop(edit+1))
			for leader.rollout("a").Programmed == 0 {
				time.Sleep(time.Millisecond)
			}
			for range 100 {
				if s := a.applier.snapshot(); s.Workloads["u0"] == nil || edits(s)["a"] != edit+1 {
					t.Fatalf("edit %d was said to be programmed, and the agent removes it", edit+1)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
}
