package distribute

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

func TestASlowAgentIsCutOffAndStartsOver(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		a.take()
		start := time.Now()
		_, err := a.stream.Recv()
		wantCode(t, err, codes.DeadlineExceeded)
		if waited := time.Since(start); waited != 30*time.Second {
			t.Errorf("cut off after %v, want 30s", waited)
		}
		a.leave()
		a = o.subscribed("n1", nil)
		defer a.leave()
		if u := a.receive(); len(u.Set) != 5 {
			t.Errorf("the new stream brings %v", refsOf(u))
		}
	})
}

func TestAnAgentThatDoesNotReadIsCutOff(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) {
			b.SetProfile(&policy.Profile{Name: "p", Bindings: []policy.Binding{{Key: strings.Repeat("x", 1<<20)}}})
			b.SetWorkload("n1", pod("a", "p"))
		})
		a := o.subscribed("n1", nil)
		defer a.leave()
		time.Sleep(29 * time.Second)
		if n := o.store.Size().Agents; n != 1 {
			t.Fatalf("%d agents before the deadline", n)
		}
		time.Sleep(2 * time.Second)
		if n := o.store.Size().Agents; n != 0 {
			t.Errorf("%d agents after the deadline", n)
		}
	})
}

func TestAnAgentWithTooManyPendingChangesStartsOver(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.take()
		o.publish(func(b *Batch) {
			for i := range maxDirty + 1 {
				b.SetWorkload("n1", pod(fmt.Sprint(i), "p"))
			}
		})
		_, err := a.stream.Recv()
		wantCode(t, err, codes.ResourceExhausted)
	})
}

func TestAnAckOutOfOrderEndsTheStream(t *testing.T) {
	for name, misbehave := range map[string]func(a *agent){
		"other nonce": func(a *agent) { a.acknowledge(wire.Update{Nonce: a.take().Nonce + 1}) },
		"twice":       func(a *agent) { u := a.take(); a.acknowledge(u); a.acknowledge(u) },
	} {
		t.Run(name, func(t *testing.T) {
			withManager(t, func(t *testing.T, o *testManager) {
				o.publish(shop)
				a := o.subscribed("n1", nil)
				defer a.leave()
				misbehave(a)
				_, err := a.stream.Recv()
				wantCode(t, err, codes.InvalidArgument)
			})
		})
	}
}

func TestANewStreamOfAnAgentReplacesTheOld(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		old := o.subscribed("n1", nil)
		defer old.leave()
		old.receive()
		young := o.subscribed("n1", nil)
		defer young.leave()
		young.receive()
		_, err := old.stream.Recv()
		wantCode(t, err, codes.Aborted)
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		wantRefs(t, young.receive(), "+destination/shop/cart")
	})
}

func TestTwoAgentsOfANodeMayOverlapInAnUpgradeAndNoMore(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		var agents []*agent
		for _, token := range []string{"first", "second", "third"} {
			o.auth.known[token] = Identity{Node: "n1", PodUID: token}
			a := o.agent(token)
			defer a.leave()
			if err := a.subscribe("n1", nil); err != nil {
				t.Fatal(err)
			}
			a.receive()
			agents = append(agents, a)
		}
		_, err := agents[0].stream.Recv()
		wantCode(t, err, codes.Aborted)
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		wantRefs(t, agents[1].receive(), "+destination/shop/cart")
		wantRefs(t, agents[2].receive(), "+destination/shop/cart")
	})
}
