package distribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/wire"
)

func wantRollout(t *testing.T, got, want Rollout) {
	t.Helper()
	if got.WaitingSince.IsZero() == (got.Pending > 0) {
		t.Errorf("%d pending since %s", got.Pending, got.WaitingSince)
	}
	got.WaitingSince = time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rollout (-want +got):\n%s", diff)
	}
}

func refuse(kind wire.Kind, name string) wire.Rejection {
	return wire.Rejection{Ref: wire.Ref{Kind: kind, Name: name}, Reason: wire.ReasonInvalid, Message: "bad " + name}
}

func TestARolloutCountsAcknowledgedVersions(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		time.Sleep(o.store.opts.StartGrace)
		wantRollout(t, o.rollout("p1"), Rollout{})
		o.publish(shop)
		wantRollout(t, o.rollout("everyone"), Rollout{
			Desired: 2, Pending: 2, Waiting: []Waiting{{Node: "n1"}, {Node: "n2"}},
		})
		one := o.subscribed("n1", nil)
		defer one.leave()
		u := one.take()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		one.acknowledge(u)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		wantRollout(t, o.rollout("everyone"), Rollout{Desired: 2, Programmed: 1, Pending: 1, Waiting: []Waiting{{Node: "n2"}}})

		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 2)) })
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		one.receive(refuse(wire.Profile, "p1"))
		wantRollout(t, o.rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad p1"}},
		})
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 3)) })
		one.receive()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestAProfileThatCannotBePublishedIsNotProgrammed(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.acknowledge(a.take())
		unpublishable := func() {
			var b Batch
			b.SetProfile(profileOf("p", 1<<40))
			b.SetWorkload("n1", pod("a", "p"))
			if err := o.store.Publish(&b); err == nil {
				t.Fatal("no error")
			}
		}
		failed := func() {
			t.Helper()
			if r := o.rollout("p"); r.Failed != 1 || !strings.Contains(r.Failures[0].Message, "p: malformed") {
				t.Errorf("rollout %+v, want one failure that names the profile", r)
			}
		}
		unpublishable()
		a.receive() // the workload alone
		failed()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)) })
		a.receive()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
		unpublishable()
		failed()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)) })
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestARefusedDestinationFailsTheProfilesThatNameIt(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive(refuse(wire.Destination, "shop/cart"))
		wantRollout(t, o.rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad shop/cart"}},
		})
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		a.receive()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestAnAgentMayTakeBackWhatItAcknowledged(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		a.receive(refuse(wire.Profile, "p1"))
		wantRollout(t, o.rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad p1"}},
		})
	})
}

func TestExamplesAreBounded(t *testing.T) {
	store := NewStore(StoreOptions{})
	var b Batch
	b.SetProfile(profileOf("p", 1))
	for i := range 3 * MaxExamples {
		b.SetWorkload(fmt.Sprintf("n%02d", i), pod(fmt.Sprint(i), "p"))
	}
	if err := store.Publish(&b); err != nil {
		t.Fatal(err)
	}
	store.Serving().Start()
	r := store.rollout(time.Now().Add(time.Hour), policyOf("p"))
	if r.Desired != 3*MaxExamples || len(r.Waiting) != MaxExamples || r.Waiting[0].Node != "n00" {
		t.Errorf("got %+v", r)
	}
	if !slices.IsSortedFunc(r.Waiting, func(a, b Waiting) int { return strings.Compare(a.Node, b.Node) }) {
		t.Errorf("not sorted: %+v", r.Waiting)
	}
}

// reselect publishes what an edit of a policy's selector does: profile p governs one pod instead of another, and is the same as before.
func reselect(from, to string) func(b *Batch) {
	return func(b *Batch) {
		b.SetProfile(profileOf("p", 1))
		b.RemoveWorkload(from)
		b.SetWorkload("n1", pod(to, "p"))
	}
}

func TestAnEditThatOnlySelectsOtherPodsWaitsForTheAcknowledgement(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		time.Sleep(time.Second)
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
		o.publish(reselect("a", "b"))
		time.Sleep(time.Second)
		o.notified.take()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		a.receive()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{{"p"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}

		// There and back again before the agent was sent it: there is nothing to acknowledge.
		u := make(chan wire.Update, 1)
		o.publish(func(b *Batch) { b.SetDestination(service("x", 1)); b.SetWorkload("n1", pod("c", "p")) })
		u <- a.take()
		o.publish(reselect("b", "d"))
		o.publish(reselect("d", "b"))
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		time.Sleep(time.Second)
		o.notified.take()
		a.acknowledge(<-u)
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{{"p"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsOnItsWayBackIsNotProgrammed(t *testing.T) {
	for name, tc := range map[string]struct{ away, back func(b *Batch) }{
		"removed and made again": {
			func(b *Batch) { b.RemoveWorkload("a"); b.RemoveProfile("p") },
			func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) },
		},
		"edited and edited back": {
			func(b *Batch) { b.SetProfile(profileOf("p", 2)) },
			func(b *Batch) { b.SetProfile(profileOf("p", 1)) },
		},
		"the last pod replaced": {
			func(b *Batch) { b.RemoveWorkload("a") },
			func(b *Batch) { b.SetWorkload("n1", pod("b", "p")) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			withManager(t, func(t *testing.T, o *testManager) {
				o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
				a := o.subscribed("n1", nil)
				defer a.leave()
				a.receive()
				o.publish(tc.away)
				u := a.take()
				o.publish(tc.back)
				pending := Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}}
				wantRollout(t, o.rollout("p"), pending)
				a.acknowledge(u)
				wantRollout(t, o.rollout("p"), pending)
				a.receive()
				wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
			})
		})
	}
}

func TestPodsAndEndpointsComeAndGoWithoutANodeFallingBehind(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		time.Sleep(time.Second)
		o.notified.take()
		for i := range 10 {
			o.publish(func(b *Batch) {
				b.SetWorkload("n1", pod(fmt.Sprint("new", i), "p1"))
				b.SetDestination(service("shop/cart", uint16(100+i)))
			})
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
			u := a.take()
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
			o.publish(func(b *Batch) { b.RemoveWorkload(fmt.Sprint("new", i)) })
			a.acknowledge(u)
			a.receive()
		}
		time.Sleep(time.Second)
		if got := o.notified.take(); got != nil {
			t.Errorf("notified of %v", got)
		}
		// A node's first pod is another matter: its agent does not have the policy yet.
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("other", "p2")) })
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		if r := o.rollout("p2"); r.Desired != 2 || r.Programmed != 0 {
			t.Errorf("p2 has come far: %+v", r)
		}
	})
}

func TestARefusedWorkloadFailsItsProfile(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		time.Sleep(time.Second)
		o.notified.take()
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("new", "p1")) })
		a.receive(refuse(wire.Workload, "new"))
		wantRollout(t, o.rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad new"}},
		})
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{{"p1"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		o.publish(func(b *Batch) { b.RemoveWorkload("new") })
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestADestinationThatCannotBePublishedFailsTheProfilesThatNameIt(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		time.Sleep(time.Second)
		o.notified.take()
		var b Batch
		b.SetDestination(service("shop/cart\xff", 80)) // nobody names it
		tooMany := service("shop/cart", 80)
		tooMany.Ports[0].Endpoints = make([]netip.AddrPort, 1<<17)
		for i := range tooMany.Ports[0].Endpoints {
			tooMany.Ports[0].Endpoints[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
		}
		b.SetDestination(tooMany)
		if err := o.store.Publish(&b); err == nil {
			t.Fatal("no error")
		}
		if r := o.rollout("p1"); r.Failed != 1 || !strings.Contains(r.Failures[0].Message, "shop/cart") {
			t.Errorf("rollout %+v, want one failure that names the destination", r)
		}
		if r := o.rollout("p2"); r.Failed != 0 {
			t.Errorf("rollout %+v of a profile that does not name it", r)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{{"p1"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 80)) }) // as it was
		time.Sleep(time.Second)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		if diff := cmp.Diff([][]string{{"p1"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	})
}
