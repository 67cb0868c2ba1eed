package distribute

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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

func TestTheLatestSessionDecidesTheStateOfItsNode(t *testing.T) {
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

func TestWhatAnAgentAcknowledgedCountsWhenItReconnects(t *testing.T) {
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
func TestAReplacedSessionIsNotTakenToHoldWhatFollows(t *testing.T) {
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

func TestAgentsThatHaveYetToRemoveSomethingAreBehind(t *testing.T) {
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
