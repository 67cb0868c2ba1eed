package distribute

import (
	"fmt"
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
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rollout (-want +got):\n%s", diff)
	}
}

func refuse(kind wire.Kind, name string) wire.Rejection {
	return wire.Rejection{Ref: wire.Ref{Kind: kind, Name: name}, Reason: wire.ReasonInvalid, Message: "bad " + name}
}

func TestARolloutCountsAcknowledgedVersions(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
		time.Sleep(o.store.opts.StartGrace)
		wantRollout(t, o.store.Rollout("p1"), Rollout{})
		o.publish(shop)
		wantRollout(t, o.store.Rollout("p1", "p2", "unused", "never"), Rollout{
			Desired: 2, Pending: 2, Waiting: []Waiting{{Node: "n1"}, {Node: "n2"}},
		})
		one := o.subscribed("n1", nil)
		defer one.leave()
		u := one.take()
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		one.acknowledge(u)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		wantRollout(t, o.store.Rollout("p1", "p2"), Rollout{Desired: 2, Programmed: 1, Pending: 1, Waiting: []Waiting{{Node: "n2"}}})

		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 2)) })
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		one.receive(refuse(wire.Profile, "p1"))
		wantRollout(t, o.store.Rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad p1"}},
		})
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 3)) })
		one.receive()
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestAProfileThatCannotBePublishedIsNotProgrammed(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
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
			if r := o.store.Rollout("p"); r.Failed != 1 || !strings.Contains(r.Failures[0].Message, "p: malformed") {
				t.Errorf("rollout %+v, want one failure that names the profile", r)
			}
		}
		unpublishable()
		a.receive() // the workload alone
		failed()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)) })
		a.receive()
		wantRollout(t, o.store.Rollout("p"), Rollout{Desired: 1, Programmed: 1})
		unpublishable()
		failed()
		o.publish(func(b *Batch) { b.SetProfile(profileOf("p", 1)) })
		wantRollout(t, o.store.Rollout("p"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestARefusedDestinationFailsTheProfilesThatNameIt(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive(refuse(wire.Destination, "shop/cart"))
		wantRollout(t, o.store.Rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad shop/cart"}},
		})
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		a.receive()
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

func TestAnAgentMayTakeBackWhatItAcknowledged(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		a.receive(refuse(wire.Profile, "p1"))
		wantRollout(t, o.store.Rollout("p1"), Rollout{
			Desired: 1, Failed: 1, Failures: []Failure{{Node: "n1", Profile: "p1", Reason: wire.ReasonInvalid, Message: "bad p1"}},
		})
	})
}

func TestADisconnectedAgentCountsForAWhile(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		a.receive()
		a.leave()
		time.Sleep(o.store.opts.Grace - time.Second)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		o.notified.take()
		time.Sleep(3 * time.Second)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1"}}})
		if diff := cmp.Diff([][]string{{"p1"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	})
}

func TestANodeNotHeardOfSinceTheStartIsUnknown(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
		o.publish(shop)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Unknown: 1})
		time.Sleep(time.Second)
		o.notified.take()
		time.Sleep(o.store.opts.StartGrace + time.Second)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1"}}})
		if diff := cmp.Diff([][]string{{"p1", "p2"}}, o.notified.take()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}

		// The next term of leadership starts over.
		o.store.Gate().Shut()
		time.Sleep(2 * time.Second)
		o.store.Gate().Open()
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Unknown: 1})
	})
}

func TestTheLatestAgentSpeaksForItsNode(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
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
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Pending: 1, Waiting: []Waiting{{Node: "n1", Connected: true}}})
		young.acknowledge(u)
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
		young.leave()
		wantRollout(t, o.store.Rollout("p1"), Rollout{Desired: 1, Programmed: 1})
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
	store.Gate().Open()
	r := store.rollout(time.Now().Add(time.Hour), []string{"p"})
	if r.Desired != 3*MaxExamples || len(r.Waiting) != MaxExamples || r.Waiting[0].Node != "n00" {
		t.Errorf("got %+v", r)
	}
	if !slices.IsSortedFunc(r.Waiting, func(a, b Waiting) int { return strings.Compare(a.Node, b.Node) }) {
		t.Errorf("not sorted: %+v", r.Waiting)
	}
}

func TestNewsIsToldInBatches(t *testing.T) {
	withOffice(t, func(t *testing.T, o *office) {
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
