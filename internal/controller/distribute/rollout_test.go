package distribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

func TestADisconnectedAgentCountsForAWhile(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		a.receive()
		a.leave()
		time.Sleep(o.store.opts.Grace - time.Second)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		o.notified.take()
		time.Sleep(3 * time.Second)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1"}}})
		if diff := cmp.Diff([][]string{{"p1"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	})
}

func TestANodeNotHeardOfSinceTheStartIsUnknown(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Unknown: 1})
		time.Sleep(time.Second)
		o.notified.take()
		time.Sleep(o.store.opts.StartGrace + time.Second)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1"}}})
		if diff := cmp.Diff([][]string{{"p1", "p2"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}

		// The next term of leadership starts over.
		o.store.Serving().Stop()
		time.Sleep(2 * time.Second)
		o.store.Serving().Start()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Unknown: 1})
	})
}

func TestTheLatestAgentSpeaksForItsNode(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		old := o.subscribed("n1", nil)
		defer old.leave()
		old.receive()
		o.auth.known["young"] = Identity{Node: "n1", PodUID: "young"}
		young := o.agent("young")
		if err := young.subscribe("n1", nil); err != nil {
			t.Fatal(err)
		}
		u := young.take()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		young.acknowledge(u)
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		young.leave()
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
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

func TestNewsIsToldInBatches(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		time.Sleep(time.Second)
		o.notified.take()
		for edit := range 20 {
			o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 10+edit)); b.SetProfile(profileOf("p2", 10+edit)) })
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		got := o.notified.take()
		if len(got) > 3 {
			t.Errorf("told %d times", len(got))
		}
		if last := got[len(got)-1]; !slices.Equal(last, []string{"p1", "p2"}) {
			t.Errorf("last told of %v", last)
		}
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 99)) })
		time.Sleep(time.Second)
		synctest.Wait()
		if got := o.notified.take(); got != nil {
			t.Errorf("an endpoint change was told of as %v", got)
		}
	})
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

		// There and back again before the agent was told: there is nothing to acknowledge.
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
			t.Errorf("told of %v", got)
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

func TestAnAgentThatComesBackIsBelievedWhatItAcknowledgedBefore(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		have := held(a.receive())
		for name, leave := range map[string]func(){"left": a.leave, "replaced": func() {}} {
			leave()
			o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
			b := o.subscribed("n1", have)
			u := b.take()
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
			o.publish(func(b *Batch) {
				b.SetProfile(profileOf("p1", 1, "shop/cart", "shop/stock"))
				b.SetWorkload("n1", pod(name, "p1"))
			})
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
			b.acknowledge(u)
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
			b.receive()
			wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
			defer b.leave()
		}
	})
}

func TestAnAgentAwayHasNotAcknowledgedWhatIsPublishedMeanwhile(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
		a := o.subscribed("n1", nil)
		have := held(a.receive())
		a.leave()
		o.publish(reselect("a", "b"))
		time.Sleep(time.Second)
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1"}}})
		a = o.subscribed("n1", have)
		defer a.leave()
		u := a.take()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		a.acknowledge(u)
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
	})
}

// A client with the agent's own token takes the agent's place, acknowledges in its name and leaves.
func TestAnAgentWhosePlaceWasTakenIsNotTakenToHoldWhatFollows(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
		real := o.subscribed("n1", nil)
		have := held(real.receive())
		other := o.subscribed("n1", nil)
		other.receive()
		real.leave()
		o.publish(func(b *Batch) { b.RemoveWorkload("a"); b.RemoveProfile("p") })
		u := other.take()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
		pending := func(connected bool) Rollout {
			return Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: connected}}}
		}
		wantRollout(t, o.rollout("p"), pending(true))
		other.leave() // with the update unanswered
		wantRollout(t, o.rollout("p"), pending(false))
		if len(u.Removed) == 0 {
			t.Fatalf("got %v, want removals", refsOf(u))
		}
		real = o.subscribed("n1", have)
		defer real.leave()
		real.receive()
		wantRollout(t, o.rollout("p"), Rollout{Desired: 1, Programmed: 1})
		o.publish(reselect("a", "b"))
		wantRollout(t, o.rollout("p"), pending(true))
	})
}

func TestAgentsThatHaveYetToLetGoAreBehind(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		one, two := o.subscribed("n1", nil), o.subscribed("n2", nil)
		defer one.leave()
		defer two.leave()
		one.receive()
		two.receive()
		o.publish(func(b *Batch) { b.RemoveWorkload("c"); b.RemoveProfile("p2") })
		removal := o.store.Revision()
		want := func(n int) {
			t.Helper()
			if got := o.store.Behind(removal); got != n {
				t.Errorf("%d behind, want %d", got, n)
			}
		}
		want(1)
		u := two.take()
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("later", "p1")) })
		want(1)
		two.acknowledge(u)
		want(0)
	})
}

func TestARolloutSaysSinceWhenItWaits(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		want := func(what string, since time.Time) {
			t.Helper()
			if got := o.rollout("p").WaitingSince; !got.Equal(since) {
				t.Errorf("%s: since %s, want %s", what, got, since)
			}
		}
		later := func() time.Time { time.Sleep(2 * time.Second); return time.Now() }
		time.Sleep(o.store.opts.StartGrace)
		first := later()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)); b.SetWorkload("n1", pod("a", "p")) })
		later()
		want("no agent yet", first)
		connected := later()
		a := o.subscribed("n1", nil)
		u := a.take()
		later()
		want("the first update", connected)
		edited := later()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 2)) })
		later()
		want("the first update, and an edit", connected)
		a.acknowledge(u)
		if got := o.rollout("p").WaitingSince; got.After(edited) || got.Before(connected) {
			t.Errorf("the edit: since %s, want one from %s to %s", got, connected, edited)
		}
		a.receive()
		want("nothing", time.Time{})
		again := later()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 3)) })
		later()
		want("another edit", again)
		u = a.take()
		o.publish(func(b *Batch) { b.SetDestination(service("x", 1)); b.SetWorkload("n1", pod("b", "p")) })
		later()
		want("another edit, and another pod", again)
		a.acknowledge(u)
		want("nothing of the policy's own", time.Time{})
		a.receive()
		lost := later()
		a.leave()
		later()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 4)) })
		later()
		want("an agent that is away", lost)
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
