package distribute

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

func sharedProfileOf(name string) *policy.Profile {
	p := profileOf(name, 1)
	cfg := policy.DefaultBreaker()
	cfg.Sharing, cfg.ConsecutiveFailures = policy.ShareCluster, 3
	p.Bindings[0].Base.Breaker = &cfg
	return p
}

func breakerOf(binding, destination string) policy.BreakerKey {
	return policy.BreakerKey{Binding: binding, Destination: destination}
}

// report has an agent say how it sees destinations.
func (a *agent) report(views ...policy.BreakerReport) {
	a.t.Helper()
	if err := a.stream.ReportBreakers(views); err != nil {
		a.t.Fatal(err)
	}
	synctest.Wait()
}

// beside takes the next update, which must be one about no resources.
func (a *agent) beside() wire.Update {
	a.t.Helper()
	u, err := a.stream.Recv()
	if err != nil || u.Nonce != 0 {
		a.t.Fatalf("%v, %v", u, err)
	}
	return u
}

func withSharedBreakers(t *testing.T, test func(t *testing.T, o *testManager, one, two *agent)) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) {
			b.SetProfile(sharedProfileOf("p"))
			b.SetProfile(sharedProfileOf("q"))
			b.SetWorkload("n1", pod("a", "p"))
			b.SetWorkload("n2", pod("b", "p"))
			b.SetWorkload("n2", pod("c", "q"))
		})
		one, two := o.withFeatures("n1", wire.AllFeatures(), nil), o.withFeatures("n2", wire.AllFeatures(), nil)
		defer one.leave()
		defer two.leave()
		for _, a := range []*agent{one, two} {
			a.receive()
			if u := a.beside(); !u.TakesBreakers || len(u.Breakers) > 0 {
				t.Fatalf("got %+v, want to be asked for reports", u)
			}
		}
		time.Sleep(10 * time.Second) // a new leader opens nothing at first
		test(t, o, one, two)
	})
}

func TestAgentsAreSentWhatTheirNodesHaveOpened(t *testing.T) {
	withSharedBreakers(t, func(t *testing.T, o *testManager, one, two *agent) {
		k := breakerOf("p", "api.example:80")
		one.report(policy.BreakerReport{Key: k, View: policy.BreakerOpened})
		two.report(policy.BreakerReport{Key: k, View: policy.BreakerOpened})
		for _, a := range []*agent{one, two} {
			if u := a.beside(); len(u.Breakers) != 1 || u.Breakers[0].Key != k || u.Breakers[0].Order != policy.BreakerOpen {
				t.Errorf("%+v", u.Breakers)
			}
		}
		// One whose agent comes now is sent it too, and an older agent hears nothing.
		o.auth.known["token-n3"] = Identity{Node: "n3", PodUID: "agent-n3"}
		o.auth.known["token-n4"] = Identity{Node: "n4", PodUID: "agent-n4"}
		o.publish(func(b *Batch) { b.SetWorkload("n3", pod("d", "p")); b.SetWorkload("n4", pod("e", "p")) })
		three := o.withFeatures("n3", wire.AllFeatures(), nil)
		defer three.leave()
		three.receive()
		if u := three.beside(); len(u.Breakers) != 1 || u.Breakers[0].Order != policy.BreakerOpen {
			t.Errorf("%+v", u.Breakers)
		}
		four := o.withFeatures("n4", 0, nil)
		defer four.leave()
		four.receive()
		if !four.silent() {
			t.Error("an older agent is sent something about breakers")
		}
	})
}

// An agent has a say about what its own node's pods call, and its words are bounded.
func TestAnAgentHasNoSayAboutOthersBreakers(t *testing.T) {
	withSharedBreakers(t, func(t *testing.T, o *testManager, one, two *agent) {
		two.report(policy.BreakerReport{Key: breakerOf("q", "a:80"), View: policy.BreakerOpened})
		for _, k := range []policy.BreakerKey{breakerOf("q", "a:80"), breakerOf("unknown", "a:80"), {Binding: "p", Destination: "a:80", Rule: "unknown"}} {
			one.report(policy.BreakerReport{Key: k, View: policy.BreakerOpened})
		}
		if !two.silent() {
			t.Error("opened by a node whose pods do not call it")
		}
		o.store.mu.Lock()
		known := len(o.store.shared.known)
		o.store.mu.Unlock()
		if known > 1 {
			t.Errorf("%d breakers are known", known)
		}
		for n := range maxBreakersPerAgent {
			one.report(policy.BreakerReport{Key: breakerOf("p", fmt.Sprint(n)), View: policy.BreakerGood}, policy.BreakerReport{Key: breakerOf("p", fmt.Sprint(-n-1)), View: policy.BreakerGood})
		}
		time.Sleep(time.Hour) // it may not say as much at once
		synctest.Wait()
		o.store.mu.Lock()
		known = len(o.store.shared.known)
		o.store.mu.Unlock()
		if known != maxBreakersPerAgent {
			t.Errorf("%d breakers are known, want %d", known, maxBreakersPerAgent)
		}
		one.leave()
		o.store.mu.Lock()
		defer o.store.mu.Unlock()
		if len(o.store.shared.known) > 0 || len(o.store.shared.due) > 0 {
			t.Errorf("%d breakers are known when nobody has anything to say", len(o.store.shared.known))
		}
	})
}

// What no policy names any more is forgotten.
func TestBreakersOfARemovedPolicyAreForgotten(t *testing.T) {
	withSharedBreakers(t, func(t *testing.T, o *testManager, one, two *agent) {
		k := breakerOf("p", "api.example:80")
		one.report(policy.BreakerReport{Key: k, View: policy.BreakerOpened})
		two.report(policy.BreakerReport{Key: k, View: policy.BreakerOpened})
		o.publish(func(b *Batch) {
			b.RemoveProfile("p")
			b.RemoveWorkload("a")
			b.RemoveWorkload("b")
		})
		o.store.mu.Lock()
		defer o.store.mu.Unlock()
		if len(o.store.shared.known) > 0 || len(o.store.shared.due) > 0 || len(o.store.shared.bindings) != 1 {
			t.Errorf("%d known, %d due, %d bindings", len(o.store.shared.known), len(o.store.shared.due), len(o.store.shared.bindings))
		}
	})
}
