package distribute

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

func wantRefs(t *testing.T, u wire.Update, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, refsOf(u)); diff != "" {
		t.Errorf("update (-want +got):\n%s", diff)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(errorOf(err)); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

// errorOf finds the status inside a wrapped error.
func errorOf(err error) error {
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	return err
}

// shop publishes two nodes' worth of policy.
func shop(b *Batch) {
	b.SetDestination(service("shop/cart", 80))
	b.SetDestination(service("shop/stock", 80))
	b.SetDestination(service("shop/unused", 80))
	b.SetProfile(profileOf("p1", 1, "shop/cart", "shop/stock"))
	b.SetProfile(profileOf("p2", 1, "shop/stock"))
	b.SetProfile(profileOf("unused", 1, "shop/unused"))
	b.SetWorkload("n1", pod("a", "p1"))
	b.SetWorkload("n1", pod("b", "p1"))
	b.SetWorkload("n2", pod("c", "p2"))
}

func TestAnAgentGetsWhatItsNodeNeedsAndNothingElse(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		one, two := o.subscribed("n1", nil), o.subscribed("n2", nil)
		defer one.leave()
		defer two.leave()
		u := one.receive()
		wantRefs(t, u, "+workload/a", "+workload/b", "+profile/p1", "+destination/shop/cart", "+destination/shop/stock")
		if !u.SnapshotComplete {
			t.Error("the first update is not complete")
		}
		wantRefs(t, two.receive(), "+workload/c", "+profile/p2", "+destination/shop/stock")
	})
}

func TestOnlyTheNodesConcernedAreSentAChange(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		one, two := o.subscribed("n1", nil), o.subscribed("n2", nil)
		defer one.leave()
		one.receive()
		two.receive()
		o.publish(func(b *Batch) {
			b.SetDestination(service("shop/cart", 81))
			b.SetProfile(profileOf("unused", 2))
			b.SetWorkload("n1", pod("a", "p1")) // unchanged
		})
		wantRefs(t, one.receive(), "+destination/shop/cart")
		if !two.silent() {
			t.Error("the other node's agent got an update")
		}
	})
}

func TestABatchArrivesAsOneChange(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		o.publish(func(b *Batch) {
			b.SetDestination(service("shop/new", 80))
			b.SetProfile(profileOf("p3", 1, "shop/new", "shop/stock"))
			b.SetWorkload("n1", pod("a", "p3"))
			b.SetWorkload("n1", pod("b", "p3"))
			b.RemoveProfile("p1")
		})
		wantRefs(t, a.receive(), "+workload/a", "+workload/b", "+profile/p3", "+destination/shop/new", "-profile/p1", "-destination/shop/cart")
	})
}

func TestAPodThatMovesLeavesItsOldNode(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		one, two := o.subscribed("n1", nil), o.subscribed("n2", nil)
		defer one.leave()
		defer two.leave()
		one.receive()
		two.receive()
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("c", "p2")) })
		wantRefs(t, one.receive(), "+workload/c", "+profile/p2")
		wantRefs(t, two.receive(), "-workload/c", "-profile/p2", "-destination/shop/stock")
	})
}

func TestNothingIsSentWhileAnUpdateIsNotAcknowledgedAndChangesMerge(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		first := a.take()
		for edit := range 50 {
			o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", edit, "shop/cart")) })
		}
		o.publish(func(b *Batch) { b.RemoveWorkload("b"); b.SetWorkload("n1", pod("b", "p1")) })
		next := make(chan wire.Update, 1)
		go func() { next <- a.take() }()
		synctest.Wait()
		select {
		case u := <-next:
			t.Fatalf("update %v before the ack", refsOf(u))
		default:
		}
		a.acknowledge(first)
		u := <-next
		wantRefs(t, u, "+profile/p1", "-destination/shop/stock")
		p, err := u.Set[0].Profile()
		if err != nil || p.Bindings[0].Base.Retry.MaxRetries != 49 {
			t.Errorf("got %v, %v, want the last edit", p, err)
		}
		a.acknowledge(u)
	})
}

func TestWhatWasRemovedIsSentAgainWhenItComesBack(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		o.publish(func(b *Batch) { b.RemoveWorkload("b") })
		wantRefs(t, a.receive(), "-workload/b")
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("b", "p1")) })
		wantRefs(t, a.receive(), "+workload/b")
	})
}

func held(updates ...wire.Update) map[wire.Ref]wire.Version {
	out := map[wire.Ref]wire.Version{}
	for _, u := range updates {
		for _, r := range u.Set {
			out[r.Ref] = r.Version
		}
	}
	return out
}

func TestAnAgentThatHoldsEverythingGetsAnEmptyUpdate(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		have := held(a.receive())
		a.leave()
		a = o.subscribed("n1", have)
		defer a.leave()
		u := a.receive()
		wantRefs(t, u)
		if !u.SnapshotComplete {
			t.Error("the update does not say that the set is complete")
		}
	})
}

func TestAReturningAgentGetsTheDifference(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		have := held(a.receive())
		a.leave()
		o.publish(func(b *Batch) {
			b.SetProfile(profileOf("p1", 2, "shop/stock"))
			b.RemoveWorkload("b")
		})
		have[wire.Ref{Kind: wire.Profile, Name: "of another life"}] = wire.Version{1}
		a = o.subscribed("n1", have)
		defer a.leave()
		wantRefs(t, a.receive(), "+profile/p1", "-workload/b", "-profile/of another life", "-destination/shop/cart")
	})
}

func TestRule35_ARejectedVersionIsNotSentAgainUntilItChanges(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		first := a.receive(wire.Rejection{Ref: wire.Ref{Kind: wire.Profile, Name: "p1"}, Reason: wire.ReasonInvalid, Message: "bad"})
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		wantRefs(t, a.receive(), "+destination/shop/cart")
		o.publish(func(b *Batch) { // there and back again
			b.SetProfile(profileOf("p1", 2, "shop/cart", "shop/stock"))
			b.SetProfile(profileOf("p1", 1, "shop/cart", "shop/stock"))
			b.SetDestination(service("shop/cart", 82))
		})
		wantRefs(t, a.receive(), "+destination/shop/cart")
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 2, "shop/cart", "shop/stock")) })
		wantRefs(t, a.receive(), "+profile/p1")
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 1, "shop/cart", "shop/stock")) })
		wantRefs(t, a.receive(wire.Rejection{Ref: wire.Ref{Kind: wire.Profile, Name: "p1"}}), "+profile/p1")
		a.leave()

		// A new stream starts from what the agent holds, and the rejected version is tried again.
		have := held(first)
		delete(have, wire.Ref{Kind: wire.Profile, Name: "p1"})
		a = o.subscribed("n1", have)
		defer a.leave()
		wantRefs(t, a.receive(), "+profile/p1", "+destination/shop/cart")
	})
}

func TestALargeStateArrivesInPartsAsOneUpdate(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) {
			var names []string
			for i := range 3000 {
				name := fmt.Sprintf("shop/service-%04d", i)
				names = append(names, name)
				b.SetDestination(&policy.Destination{Name: name, Hostnames: []string{strings.Repeat("x", 4000)}})
			}
			p := &policy.Profile{Name: "p"}
			for _, name := range names {
				p.Bindings = append(p.Bindings, policy.Binding{To: policy.Target{Kind: policy.TargetService, Service: name}})
			}
			b.SetProfile(p)
			b.SetWorkload("n1", pod("a", "p"))
		})
		a := o.subscribed("n1", nil)
		defer a.leave()
		if u := a.receive(); len(u.Set) != 3002 {
			t.Errorf("got %d resources, want 3002", len(u.Set))
		}
		o.publish(func(b *Batch) { b.SetDestination(service("shop/service-0007", 1)) })
		wantRefs(t, a.receive(), "+destination/shop/service-0007")
	})
}

func TestAResourceThatCannotBeEncodedKeepsTheRestOfTheBatch(t *testing.T) {
	store := NewStore(StoreOptions{})
	var b Batch
	b.SetProfile(&policy.Profile{Name: "bad\xff"})
	b.SetProfile(profileOf("good", 1))
	err := store.Publish(&b)
	if err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("got %v, want an error that names the profile", err)
	}
	for name, p := range store.profiles {
		if published := p.resource != nil; published != (name == "good") {
			t.Errorf("%q is published: %v", name, published)
		}
	}
}

func TestAnEmptyStoreHoldsNothing(t *testing.T) {
	store := NewStore(StoreOptions{})
	var b Batch
	shop(&b)
	for _, uid := range []string{"a", "b", "c", "never"} {
		b.RemoveWorkload(uid)
	}
	for _, name := range []string{"p1", "p2", "unused", "never"} {
		b.RemoveProfile(name)
	}
	for _, name := range []string{"shop/cart", "shop/stock", "shop/unused", "never"} {
		b.RemoveDestination(name)
	}
	if err := store.Publish(&b); err != nil {
		t.Fatal(err)
	}
	if size := store.Size(); size != (Size{}) || len(store.traffic.policies) != 0 {
		t.Errorf("left over: %+v and %d sums", size, len(store.traffic.policies))
	}
}
