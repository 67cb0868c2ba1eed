package wire_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/controller/distribute"
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
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		picky := &applier{refuse: func(p *policy.Profile) bool { return p.Name == "a" && p.Bindings[0].Base.Retry.MaxRetries == 2 }}
		a := w.agent(agentOptions{node: "n0", applier: picky})
		defer func() { a.stop() }()
		awaitQuiet()
		leader.publish(t, shop(2))
		awaitQuiet()
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
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 1, "b": 2})
		if diff := cmp.Diff(failed, leader.rollout("a")); diff != "" {
			t.Errorf("rollout of a after the restart (-want +got):\n%s", diff)
		}

		leader.publish(t, shop(3))
		awaitQuiet()
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
	withTestbed(t, func(t *testing.T, w *testbed) {
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
