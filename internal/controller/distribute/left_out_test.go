package distribute

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Fields of version 1 that agents are taken to understand only with a feature. The first is one that hellos can carry; no agent has the second.
const (
	knowsRetries                = wire.FeaturePatches
	knowsHostnames wire.Feature = 61
)

func withMadeUpFeatures() *wire.Encoder {
	return wire.NewEncoder([]wire.Requirement{
		{Feature: knowsRetries, Field: "fairlead.agent.v1.Retry.max_retries"},
		{Feature: knowsHostnames, Field: "fairlead.agent.v1.Destination.hostnames"},
	})
}

// publishWithFeatures publishes with the made-up features.
func (o *testManager) publishWithFeatures(fill func(b *Batch)) {
	o.t.Helper()
	b := Batch{encoder: withMadeUpFeatures()}
	fill(&b)
	if err := o.store.Publish(&b); err != nil {
		o.t.Fatal(err)
	}
}

// withFeatures connects as the agent of node, which understands the features.
func (o *testManager) withFeatures(node string, features wire.Features, held map[wire.Ref]wire.Version) *agent {
	o.t.Helper()
	a := o.agent("token-" + node)
	var err error
	if a.stream, err = a.client.Subscribe(a.ctx, wire.Hello{Node: node, Features: features, Held: held, Version: "v1.2.3"}); err != nil {
		o.t.Fatal(err)
	}
	return a
}

func onBothNodes(edit int, hostnames ...string) func(b *Batch) {
	return func(b *Batch) {
		d := service("shop/cart", 80)
		d.Hostnames = hostnames
		b.SetDestination(d)
		b.SetProfile(profileOf("p", edit, "shop/cart"))
		b.SetWorkload("n1", pod("a", "p"))
		b.SetWorkload("n2", pod("b", "p"))
	}
}

func retriesIn(t *testing.T, u wire.Update) int {
	t.Helper()
	for _, r := range u.Set {
		if r.Ref.Kind == wire.Profile {
			p, err := r.Profile()
			if err != nil {
				t.Fatal(err)
			}
			return p.Bindings[0].Base.Retry.MaxRetries
		}
	}
	t.Fatalf("no profile among %v", refsOf(u))
	return 0
}

func TestAnAgentWithoutAFeatureIsSentWhatItUnderstandsAndTheRolloutSaysSo(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publishWithFeatures(onBothNodes(1))
		newer, older := o.withFeatures("n1", wire.FeaturesOf(knowsRetries), nil), o.withFeatures("n2", 0, nil)
		defer newer.leave()
		if got := retriesIn(t, newer.receive()); got != 1 {
			t.Errorf("the newer agent is sent %d retries, want 1", got)
		}
		first := older.receive()
		if got := retriesIn(t, first); got != 0 {
			t.Errorf("the older agent is sent %d retries, which it does not understand", got)
		}
		wantRollout(t, o.rollout("p"), Rollout{Desired: 2, Programmed: 2, LeftOut: []LeftOut{{Feature: knowsRetries, Nodes: 1, Example: "n2"}}})

		// An edit of nothing but what it does not understand leaves the older agent alone.
		o.publishWithFeatures(onBothNodes(2))
		if got := retriesIn(t, newer.receive()); got != 2 {
			t.Errorf("the newer agent is sent %d retries, want 2", got)
		}
		synctest.Wait()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 2, Programmed: 2, LeftOut: []LeftOut{{Feature: knowsRetries, Nodes: 1, Example: "n2"}}})
		if !older.silent() {
			t.Error("the older agent was sent something")
		}

		// Upgraded, it is sent the difference.
		upgraded := o.withFeatures("n2", wire.FeaturesOf(knowsRetries), held(first))
		defer upgraded.leave()
		u := upgraded.receive()
		if diff := cmp.Diff([]string{"+profile/p"}, refsOf(u)); diff != "" || retriesIn(t, u) != 2 {
			t.Errorf("after the upgrade (-want +got):\n%s", diff)
		}
		wantRollout(t, o.rollout("p"), Rollout{Desired: 2, Programmed: 2})
	})
}

func TestWhatADestinationNeedsCountsForThePoliciesThatNameIt(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publishWithFeatures(onBothNodes(1, "cart"))
		a := o.withFeatures("n1", wire.FeaturesOf(knowsRetries), nil)
		defer a.leave()
		a.receive()
		missing := []LeftOut{{Feature: knowsHostnames, Nodes: 1, Example: "n1"}}
		if diff := cmp.Diff(missing, o.rollout("p").LeftOut); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		o.publishWithFeatures(func(b *Batch) { b.SetDestination(service("shop/cart", 80)) })
		if got := o.rollout("p").LeftOut; got != nil {
			t.Errorf("the destination needs nothing any more, and left out is %v", got)
		}
		o.publishWithFeatures(onBothNodes(1, "cart"))
		if diff := cmp.Diff(missing, o.rollout("p").LeftOut); diff != "" {
			t.Errorf("needed again (-want +got):\n%s", diff)
		}
		o.publishWithFeatures(func(b *Batch) { b.RemoveWorkload("a") })
		if got := o.rollout("p").LeftOut; got != nil {
			t.Errorf("the node has no such pod any more, and left out is %v", got)
		}
	})
}

func TestPatchesAreOfTheFormThatAnAgentUnderstands(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		large := func(port uint16) {
			o.publishWithFeatures(func(b *Batch) {
				d := largeService(1000, port)
				d.Hostnames = []string{"cart", "cart.shop"}
				b.SetDestination(d)
			})
		}
		o.publish(shop)
		large(1)
		a := o.withPatches("n1", map[wire.Ref]*wire.Resource{})
		defer a.leave()
		a.receive()
		large(2)
		if n := a.receive(); n != 1 {
			t.Errorf("%d patches, want 1", n)
		}
		d, err := a.holds[wire.Ref{Kind: wire.Destination, Name: "shop/cart"}].Destination()
		if err != nil || d.Hostnames != nil || d.Ports[0].Endpoints[999].Port() != 2 {
			t.Errorf("got %d hostnames, %v; want none", len(d.Hostnames), err)
		}
	})
}

// Pods do not need any feature yet; the encoder is asked for them all the same.
func TestAWorkloadIsEncodedWithTheBatchsEncoder(t *testing.T) {
	b := Batch{encoder: wire.NewEncoder([]wire.Requirement{{Feature: knowsRetries, Field: "fairlead.agent.v1.Workload.namespace"}})}
	b.SetWorkload("n1", &policy.Workload{UID: "u", Namespace: "shop", Profile: "p"})
	if got := b.changes[0].resource.Needs(); got != wire.FeaturesOf(knowsRetries) {
		t.Errorf("needs %b", got)
	}
}
