package wire_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/distribute/ca"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

func profile(name string, edit int) *policy.Profile {
	b := policy.Binding{
		Key: name, Policy: policy.ParseID("shop/" + name), Merged: []policy.ID{policy.ParseID("shop/everyone"), policy.ParseID("shop/" + name)},
		Base: policy.Defaults(), To: policy.Target{Kind: policy.TargetAny},
	}
	b.Base.Retry.MaxRetries = edit
	return &policy.Profile{Name: name, Bindings: []policy.Binding{b}}
}

// shop gives node n0 two pods with profiles a and b in the given edit, and n1 one with b.
func shop(edit int) func(*distribute.Batch) {
	return func(b *distribute.Batch) {
		b.SetProfile(profile("a", edit))
		b.SetProfile(profile("b", edit))
		b.SetWorkload("n0", &policy.Workload{UID: "u0", Profile: "a"})
		b.SetWorkload("n0", &policy.Workload{UID: "u1", Profile: "b"})
		b.SetWorkload("n1", &policy.Workload{UID: "u2", Profile: "b"})
	}
}

func edits(s *policy.Snapshot) map[string]int {
	out := map[string]int{}
	if s != nil {
		for name, p := range s.Profiles {
			out[name] = p.Bindings[0].Base.Retry.MaxRetries
		}
	}
	return out
}

func wantEdits(t *testing.T, a *agent, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, edits(a.applier.snapshot())); diff != "" {
		t.Errorf("in force (-want +got):\n%s", diff)
	}
}

func TestRule35_ARefusedProfileIsReportedAndTheRestApplied(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		picky := &applier{refuse: func(p *policy.Profile) bool { return p.Name == "a" && p.Bindings[0].Base.Retry.MaxRetries == 2 }}
		a := w.agent(agentOptions{node: "n0", applier: picky})
		defer func() { a.stop() }()
		settle()
		leader.publish(t, shop(2))
		settle()
		wantEdits(t, a, map[string]int{"a": 1, "b": 2})
		failed := distribute.Rollout{
			Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "n0", Profile: "a", Reason: wire.ReasonInvalid, Message: "will not"}},
		}
		if diff := cmp.Diff(failed, leader.rollout("a")); diff != "" {
			t.Errorf("rollout of a (-want +got):\n%s", diff)
		}
		if got := leader.rollout("b"); got.Failed != 0 || got.Programmed != 1 {
			t.Errorf("rollout of b: %+v", got)
		}
		if s := a.State(); len(s.Refused) != 1 || s.Refused[0].Ref.Name != "a" {
			t.Errorf("state %+v", s)
		}

		// A restart keeps the version that works, and is offered the other one again.
		a.stop()
		a = w.agent(agentOptions{node: "n0", applier: picky})
		settle()
		wantEdits(t, a, map[string]int{"a": 1, "b": 2})
		if diff := cmp.Diff(failed, leader.rollout("a")); diff != "" {
			t.Errorf("rollout of a after the restart (-want +got):\n%s", diff)
		}

		leader.publish(t, shop(3))
		settle()
		wantEdits(t, a, map[string]int{"a": 3, "b": 3})
		if got := leader.rollout("a"); got.Programmed != 1 || got.Failed != 0 {
			t.Errorf("rollout of a after the correction: %+v", got)
		}
		if s := a.State(); len(s.Refused) != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestPolicyIsAppliedBeforeItIsAcknowledged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		slow := &applier{block: make(chan struct{})}
		a := w.agent(agentOptions{node: "n0", applier: slow})
		defer a.stop()
		time.Sleep(10 * time.Second)
		if r := leader.rollout("a"); r.Programmed != 0 {
			t.Errorf("acknowledged before it was applied: %+v", r)
		}
		close(slow.block)
		synctest.Wait()
		if r := leader.rollout("a"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
	})
}

func TestAnAgentTooSlowToApplyIsCutOffAndCatchesUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
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
		settle()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
		if r := leader.rollout("everyone"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
	})
}

func TestWithoutAManagerPolicyStaysInForceAlsoOverARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0"})
		defer func() { a.stop() }()
		settle()
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
		settle()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
	})
}

func TestADamagedCopyIsIgnoredAndReplaced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write("copy-n0", []byte("fairlead-set-1\nnonsense"))
		a := w.agent(agentOptions{node: "n0"})
		synctest.Wait()
		if s := a.State(); s.Source != subscribe.SourceNone {
			t.Errorf("state %+v", s)
		}
		w.leader("a:1").publish(t, shop(1))
		settle()
		a.stop()
		w.stopManagers()
		a = w.agent(agentOptions{node: "n0"})
		defer a.stop()
		synctest.Wait()
		wantEdits(t, a, map[string]int{"a": 1, "b": 1})
	})
}

func TestAnAgentFindsTheReplicaThatLeads(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 5 {
			w.manager(fmt.Sprint("follower:", i)).publish(t, shop(1))
		}
		w.leader("leader:1").publish(t, shop(2))
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		synctest.Wait() // no time passes: those that do not lead say so at once
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		w.at("leader:1").store.Serving().Stop()
		w.at("follower:3").publish(t, shop(3))
		w.at("follower:3").store.Serving().Start()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantEdits(t, a, map[string]int{"a": 3, "b": 3})
		if s := a.State(); s.Manager != "follower:3" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestAnAgentWithoutTheRightTokenGetsNothing(t *testing.T) {
	for name, o := range map[string]agentOptions{
		"unknown token":     {node: "n0", token: "forged"},
		"other node's name": {node: "n1", claim: "n0"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				leader := w.leader("a:1")
				leader.publish(t, shop(1))
				a := w.agent(o)
				defer a.stop()
				settle()
				if s := a.State(); s.Connected || s.Source != subscribe.SourceNone || a.applier.count() != 0 {
					t.Errorf("state %+v, applied %d times", s, a.applier.count())
				}
				if n := leader.store.Size().Agents; n != 0 {
					t.Errorf("%d agents", n)
				}
			})
		})
	}
}

func TestATokenIsReadAgainWhenItExpires(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		identity := distribute.Identity{Node: "n0", PodUID: "agent", Expiry: time.Now().Add(time.Hour)}
		w.tokens.set("token-n0", identity)
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		settle()
		identity.Expiry = time.Now().Add(2 * time.Hour)
		w.tokens.set("next", identity)
		w.write("token-file-n0", []byte("next\n"))
		time.Sleep(time.Hour)
		leader.publish(t, shop(2))
		settle()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		// The file is not renewed: the stream ends with the token, the policy stays.
		time.Sleep(2 * time.Hour)
		leader.publish(t, shop(3))
		settle()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "token") {
			t.Errorf("state %+v", s)
		}
	})
}

func TestTheBundleIsReadAgainForEveryConnection(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		old := w.leader("a:1")
		old.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		settle()
		next, _, err := ca.Authorities(nil).Renew(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.stopManagers()
		w.ca = next
		w.leader("b:1").publish(t, shop(2))
		settle()
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "certificate") {
			t.Errorf("state %+v", s)
		}
		w.write("bundle", next.Bundle())
		settle()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		if err := os.Remove(w.path("bundle")); err != nil {
			t.Fatal(err)
		}
		w.at("b:1").store.Serving().Stop()
		settle()
		if s := a.State(); !strings.Contains(s.LastError, "bundle") {
			t.Errorf("state %+v", s)
		}
	})
}

func TestAgentsDoNotHammerAManagerThatIsAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
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

// counter reports one call each time it is asked, and counts them.
type counter struct {
	mu    sync.Mutex
	calls uint64
}

func (c *counter) Report() *policy.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return &policy.Report{Traffic: []policy.Traffic{{
		Policy: policy.ParseID("shop/a"), Target: "any", Counts: policy.Counts{Requests: 1}, BreakersOpen: 1,
	}}}
}

func (c *counter) total() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

func TestEveryCallIsCountedOnceAcrossBrokenStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		c := new(counter)
		a := w.agent(agentOptions{node: "n0", reporter: c})
		defer a.stop()
		for range 5 {
			time.Sleep(7 * time.Second)
			leader.store.Serving().Stop()
			time.Sleep(time.Second)
			leader.store.Serving().Start()
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		f := leader.store.Traffic(policy.ParseID("shop/a"))
		if f.Counts.Requests != c.total() || f.Breakers.Open != 1 {
			t.Errorf("%d calls and %d breakers, want %d and 1", f.Counts.Requests, f.Breakers.Open, c.total())
		}
	})
}

func TestReportsOfAnOutageDoNotSwellTheWindow(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0", reporter: new(counter)})
		defer a.stop()
		time.Sleep(time.Minute)
		leader.store.Serving().Stop()
		time.Sleep(time.Hour)
		leader.store.Serving().Start()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		got := leader.store.Traffic(policy.ParseID("shop/a")).Counts.Requests
		if got < 10 || got > 13 {
			t.Errorf("%d calls in the last minute, reported at one per 5 s", got)
		}
		a.stop()
		synctest.Wait()
		if f := leader.store.Traffic(policy.ParseID("shop/a")); f.Breakers.Open != 0 {
			t.Errorf("%d open breakers of an agent that is gone", f.Breakers.Open)
		}
	})
}

// A second client with an agent's own token takes its place over and over, as each replaces the other, and acknowledges at once what the
// agent takes a while to apply. Once it has left, the agent is back within a moment, and nothing is taken for acknowledged that the agent
// has not applied.
func TestAClientThatTakesAnAgentsPlaceLeavesNothingBehind(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0", applier: &applier{takes: 300 * time.Millisecond}})
		defer a.stop()
		for edit := 2; edit < 30; edit += 2 {
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
			// And now while the agent is there and has yet to let go.
			leader.publish(t, func(b *distribute.Batch) { b.RemoveWorkload("u0"); b.RemoveProfile("a") })
			time.Sleep(time.Duration(edit) * 9 * time.Millisecond)
			leader.publish(t, shop(edit+1))
			for leader.rollout("a").Programmed == 0 {
				time.Sleep(time.Millisecond)
			}
			for range 1000 {
				if s := a.applier.snapshot(); s.Workloads["u0"] == nil || edits(s)["a"] != edit+1 {
					t.Fatalf("edit %d was said to be programmed, and the agent lets go of it", edit+1)
				}
				time.Sleep(time.Millisecond)
			}
		}
	})
}
