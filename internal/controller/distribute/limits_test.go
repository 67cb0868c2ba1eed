package distribute

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/controller/shares"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// limited publishes a limit of 100 calls a second for pods of both nodes.
func (o *testManager) limited() {
	p := profileOf("p", 1)
	p.Bindings[0].Base.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 100, Scope: policy.ShareCluster, Shared: "shop/p"}
	o.publish(func(b *Batch) {
		b.SetProfile(p)
		b.SetWorkload("n1", pod("a", "p"))
		b.SetWorkload("n2", pod("b", "p"))
	})
	time.Sleep(10 * time.Second) // a new leader gives nothing away at first
}

// sharing connects as an agent that shares limits.
func (o *testManager) sharing(node string) *agent {
	o.t.Helper()
	a := o.agent("token-" + node)
	var err error
	if a.stream, err = a.client.Subscribe(a.ctx, wire.Hello{Node: node, Features: wire.FeaturesOf(wire.FeatureClusterLimits)}); err != nil {
		o.t.Fatal(err)
	}
	if u := a.receive(); u.Grants == nil || u.Grants.Sequence != 0 || len(u.Grants.Grants) != 0 {
		o.t.Fatalf("the first update has grants %+v", u.Grants)
	}
	return a
}

func (a *agent) demands(sequence uint64, list ...wire.Demand) {
	a.t.Helper()
	if err := a.stream.Demands(wire.Demands{Sequence: sequence, Demands: list}); err != nil {
		a.t.Fatal(err)
	}
	synctest.Wait()
}

// granted takes the next grants.
func (a *agent) granted() *wire.Grants {
	a.t.Helper()
	u, err := a.stream.Recv()
	if err != nil || u.Nonce != 0 || u.Grants == nil {
		a.t.Fatalf("got %+v, %v", u, err)
	}
	return u.Grants
}

var quota = policy.LimitName{Limit: "shop/p", Destination: "shop/partner:80"}

func first(rate float64) wire.Demand {
	return wire.Demand{Limit: 1, Name: quota, Rate: rate, Share: policy.Share{Rate: 1, Burst: 1}}
}

func TestAgentsAreGrantedShares(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.limited()
		a, b := o.sharing("n1"), o.sharing("n2")
		defer a.leave()
		defer b.leave()
		a.demands(0, first(500))
		g := a.granted()
		if g.Sequence != 1 || len(g.Grants) != 1 || g.Grants[0].Limit != 1 || math.Abs(g.Grants[0].Share.Rate-100) > 1e-6 {
			t.Fatalf("alone: %+v", g)
		}
		b.demands(0, wire.Demand{Limit: 7, Name: quota, Rate: 500, Share: policy.Share{Rate: 1, Burst: 1}})
		time.Sleep(time.Second)
		a.demands(1, wire.Demand{Limit: 1, Rate: 500, Serial: g.Grants[0].Serial})
		less := a.granted()
		if less.Sequence != 2 || math.Abs(less.Grants[0].Share.Rate-50) > 1e-6 {
			t.Fatalf("with another: %+v", less)
		}
		a.demands(2, wire.Demand{Limit: 1, Rate: 500, Serial: less.Grants[0].Serial})
		if g := b.granted(); g.Grants[0].Limit != 7 || math.Abs(g.Grants[0].Share.Rate-50) > 1e-6 {
			t.Errorf("the other one: %+v", g)
		}
		if limits, held := o.store.LimitShares(); limits != 1 || held != 2 {
			t.Errorf("%d limits, %d shares", limits, held)
		}
		a.demands(2, wire.Demand{Limit: 1, Left: true})
		b.leave()
		time.Sleep(10 * time.Second)
		if limits, held := o.store.LimitShares(); limits != 0 || held != 0 {
			t.Errorf("%d limits, %d shares are left", limits, held)
		}
	})
}

// An agent that does not answer is sent no more, and keeps nothing from the others for long.
func TestAnAgentThatDoesNotObeyIsNotWaitedForLong(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.limited()
		a, b := o.sharing("n1"), o.sharing("n2")
		defer a.leave()
		defer b.leave()
		a.demands(0, wire.Demand{Limit: 1, Name: quota, Rate: 1000, Share: policy.Share{Rate: 1e9, Burst: 1e9}})
		b.demands(0, first(1000))
		for range 40 {
			time.Sleep(shares.Interval)
			a.demands(0, wire.Demand{Limit: 1, Rate: 1000})
			b.demands(0, wire.Demand{Limit: 1, Rate: 1000, Share: policy.Share{Rate: 1, Burst: 1}})
		}
		if g := a.granted(); g.Sequence != 1 || g.Grants[0].Share.Rate > 60 {
			t.Errorf("the one that says it holds everything: %+v", g)
		}
		if g := b.granted(); g.Sequence != 1 || math.Abs(g.Grants[0].Share.Rate-50) > 1e-6 {
			t.Errorf("the other one: %+v, want its half", g)
		}
		if !a.silent() {
			t.Error("the agent is sent more though it has not answered")
		}
	})
}

func TestDemandsThatBreakTheRulesEndTheStream(t *testing.T) {
	many := func(from, n int) (list []wire.Demand) {
		for i := range n {
			list = append(list, wire.Demand{Limit: uint32(from + i), Name: policy.LimitName{Limit: "shop/p", Destination: fmt.Sprint(from + i)}})
		}
		return list
	}
	for name, send := range map[string]func(a *agent){
		"grants that were not sent": func(a *agent) { a.demands(1, first(1)) },
		"a number used again": func(a *agent) {
			a.demands(0, first(1))
			a.demands(0, wire.Demand{Limit: 1, Left: true})
			a.demands(0, first(1))
		},
		"too many limits": func(a *agent) {
			for i := range wire.MaxLimits/wire.MaxDemands + 1 {
				_ = a.stream.Demands(wire.Demands{Demands: many(1+i*wire.MaxDemands, wire.MaxDemands)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withManager(t, func(t *testing.T, o *testManager) {
				o.limited()
				a := o.sharing("n1")
				defer a.leave()
				send(a)
				for {
					_, err := a.stream.Recv()
					if err == nil {
						continue
					}
					if limits, held := o.store.LimitShares(); held > wire.MaxLimits {
						t.Errorf("%d limits, %d shares", limits, held)
					}
					break
				}
				time.Sleep(10 * time.Second)
				if limits, held := o.store.LimitShares(); limits != 0 || held != 0 {
					t.Errorf("%d limits, %d shares are left", limits, held)
				}
			})
		})
	}
}

// What an agent says of limits that its node does not have is kept, as there may be such a limit a moment later, and divides nothing.
func TestALimitThatTheNodeDoesNotHaveIsNotDivided(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		a := o.sharing("n1")
		defer a.leave()
		a.demands(0, first(1))
		if limits, _ := o.store.LimitShares(); limits != 0 {
			t.Errorf("%d limits", limits)
		}
		o.limited()
		a.receive()
		a.demands(0, wire.Demand{Limit: 1, Rate: 1, Share: policy.Share{Rate: 1, Burst: 1}})
		if g := a.granted(); math.Abs(g.Grants[0].Share.Rate-100) > 1e-6 {
			t.Errorf("when there is one: %+v", g)
		}
	})
}

// An agent that floods the manager is made to wait, not disconnected.
func TestDemandsArePaced(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.limited()
		a := o.sharing("n1")
		defer a.leave()
		began := time.Now()
		for range 2 * besideAtOnce {
			if err := a.stream.Demands(wire.Demands{}); err != nil {
				t.Fatal(err)
			}
		}
		a.demands(0, first(1))
		a.granted()
		if waited := time.Since(began); waited < besideAtOnce/besidePerSecond*time.Second-time.Second {
			t.Errorf("all was taken in after %v", waited)
		}
	})
}

func TestAnAgentThatDoesNotShareIsOfferedNothing(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.limited()
		a := o.subscribed("n1", nil)
		defer a.leave()
		if u := a.receive(); u.Grants != nil {
			t.Errorf("grants %+v", u.Grants)
		}
	})
}
