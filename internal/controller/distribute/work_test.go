package distribute

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// manyProfiles publishes so many nodes with so many pods each, every one with a profile of its own, and one more whose profile all nodes have.
func manyProfiles(t *testing.T, nodes, pods int) (*Store, []*session) {
	t.Helper()
	s := NewStore(StoreOptions{})
	s.Serving().Start()
	var b Batch
	b.SetProfile(profileOf("everywhere", 1))
	for n := range nodes {
		node := fmt.Sprint("n", n)
		b.SetWorkload(node, pod(fmt.Sprint("everywhere-", n), "everywhere"))
		for p := range pods {
			name := fmt.Sprint("p", n, "-", p)
			b.SetProfile(profileOf(name, 1))
			b.SetWorkload(node, pod(name, name))
		}
	}
	if err := s.Publish(&b); err != nil {
		t.Fatal(err)
	}
	sessions := make([]*session, nodes)
	for n := range nodes {
		sessions[n] = s.attach(fmt.Sprint("n", n), "agent", wire.Hello{Held: map[wire.Ref]wire.Version{}})
		answer(t, s, sessions[n])
	}
	return s, sessions
}

// answer acknowledges the next update.
func answer(t *testing.T, s *Store, c *session) {
	t.Helper()
	u, _ := s.next(c, time.Now())
	if u == nil {
		t.Fatal("there is no update")
	}
	if err := s.acknowledge(c, wire.Ack{Nonce: u.Nonce}); err != nil {
		t.Fatal(err)
	}
}

// What an edit costs depends on the nodes that it concerns: two looks at the state of a profile for each, when it is published and when it is
// acknowledged. The other profiles of these nodes do not count, nor do other nodes.
func TestAnEditCostsNothingForWhatItDoesNotConcern(t *testing.T) {
	for _, size := range []struct{ nodes, pods int }{{3, 2}, {3, 40}, {30, 40}} {
		s, sessions := manyProfiles(t, size.nodes, size.pods)
		looks := func(edit func(b *Batch), concerned ...*session) int {
			var b Batch
			edit(&b)
			before := s.looks
			if err := s.Publish(&b); err != nil {
				t.Fatal(err)
			}
			for _, c := range concerned {
				answer(t, s, c)
			}
			for _, c := range sessions {
				if u, _ := s.next(c, time.Now()); u != nil {
					t.Errorf("%d nodes of %d pods: a node that is not concerned, or has answered, is sent %v", size.nodes, size.pods, refsOf(*u))
				}
			}
			return int(s.looks - before)
		}
		if n := looks(func(b *Batch) { b.SetProfile(profileOf("everywhere", 2)) }, sessions...); n > 2*size.nodes {
			t.Errorf("%d nodes of %d pods: an edit for every node takes %d looks", size.nodes, size.pods, n)
		}
		if n := looks(func(b *Batch) { b.SetProfile(profileOf("p1-1", 2)) }, sessions[1]); n > 2 {
			t.Errorf("%d nodes of %d pods: an edit for one node takes %d looks", size.nodes, size.pods, n)
		}
		if r := s.Rollout(policyOf("everywhere")); r.Programmed != size.nodes {
			t.Errorf("%+v", r)
		}
	}
}

// Reports are about destinations and policies. An edit that changes neither does not make what a node may report on be found out again.
func TestWhatMayBeReportedOnIsKeptOverEdits(t *testing.T) {
	s, _ := manyProfiles(t, 2, 2)
	publish := func(p *policy.Profile, others ...policy.ID) *reportable {
		var b Batch
		b.SetProfile(p, others...)
		if err := s.Publish(&b); err != nil {
			t.Fatal(err)
		}
		return s.reportableOn("n1")
	}
	before := s.reportableOn("n1")
	if after := publish(profileOf("everywhere", 2)); after != before {
		t.Error("found out again after an edit")
	}
	after := publish(profileOf("everywhere", 2, "shop/cart"))
	key := trafficKey{policyOf("everywhere"), "service shop/cart"}
	if before.sum(key) != nil || after.sum(key) == nil || after.sum(trafficKey{policyOf("everywhere"), "any"}) != nil {
		t.Errorf("another destination: %+v", after)
	}
	if before.has(policyOf("another")) || !publish(profileOf("everywhere", 2, "shop/cart"), policyOf("another")).has(policyOf("another")) {
		t.Error("another policy is not known")
	}
}

// An update is one write to the agent's connection, and nothing is written for its acknowledgement.
func TestAnUpdateIsOneWrite(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		one := o.subscribed("n1", nil)
		defer one.leave()
		one.receive()
		const edits = 10
		before := o.writes.Load()
		for edit := range edits {
			o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 2+edit, "shop/cart", "shop/stock")) })
			one.receive()
			synctest.Wait()
		}
		if n := o.writes.Load() - before; n != edits {
			t.Errorf("%d writes for %d updates", n, edits)
		}
	})
}
