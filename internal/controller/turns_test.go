package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

func named(i int) string { return fmt.Sprintf("shop/p%d", i) }

// crowd makes policies that have all been programmed and are all called.
func crowd(t *testing.T, policies int) *bureau {
	b := newBureau(t, policies, onePolicy)
	for i := range policies {
		b.settle(named(i))
	}
	return b
}

// busy gives every policy figures that differ from all before.
func (b *bureau) busy(policies int) func(second int) {
	return func(second int) {
		for i := range policies {
			b.traffic(named(i), uint64(1000*second+i), 0)
		}
	}
}

// All policies have new figures all the time, many more than can be written: each has its turn all the same, none before another that
// has waited longer, and none is looked at in vain.
func TestWritesAreSharedOutFairly(t *testing.T) {
	const policies, rounds = 200, 4
	b := crowd(t, policies)
	const round = policies * time.Second / writesPerSecond
	last, writes := map[string]time.Time{}, map[string]int{}
	b.server.wrote = func(name string) {
		if before, ok := last[name]; ok && b.clock.Since(before) > round+5*time.Second {
			t.Errorf("%s waited %s, want %s", name, b.clock.Since(before), round)
		}
		last[name] = b.clock.Now()
		writes[name]++
	}
	looks := b.agents.asked
	b.pass(rounds*round, b.busy(policies))
	for i := range policies {
		if n := writes[named(i)]; n < rounds-1 || n > rounds+1 {
			t.Errorf("%s was written %d times in %d rounds", named(i), n, rounds)
		}
	}
	if n := b.agents.asked - looks; n > policies*(rounds+1) {
		t.Errorf("%d looks at %d policies in %d rounds", n, policies, rounds)
	}
	if n := len(b.server.writes); n > 2*policies+policies*rounds+writeBurst {
		t.Errorf("%d writes", n)
	}
}

// A condition is waited for: it is written at once, whoever waits for a turn.
func TestConditionsAreWrittenBeforeAllTurns(t *testing.T) {
	const policies = 60
	b := crowd(t, policies)
	b.pass(10*time.Second, b.busy(policies))
	b.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1"}}}
	before := b.written[writeEdge]
	for i := range policies {
		b.look(named(i))
	}
	if n := b.written[writeEdge] - before; n != policies {
		t.Errorf("%d of %d changes of a condition were written at once", n, policies)
	}
}

// What changes in the cluster does not wait behind the figures of all policies, and they do not wait for ever behind it.
func TestCountsAndFiguresTakeTurns(t *testing.T) {
	const policies = 200
	b := crowd(t, policies)
	b.pass(30*time.Second, b.busy(policies))
	b.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 2}
	b.look(named(7))
	b.pass(2*time.Second, b.busy(policies))
	if got := b.server.objects[named(7)].Status.Nodes.Summary; got != "2/2" {
		t.Errorf("after two seconds the nodes are %s", got)
	}
	written := map[string]bool{}
	b.server.wrote = func(name string) { written[name] = true }
	b.pass(20*time.Second, func(second int) {
		b.agents.rollout = distribute.Rollout{Desired: 2 + second%2, Programmed: 2 + second%2}
		for i := range policies / 2 {
			b.look(named(i)) // their counts change all the time
		}
		for i := policies / 2; i < policies; i++ {
			b.traffic(named(i), uint64(100000+1000*second+i), 0)
		}
	})
	others := 0
	for i := policies / 2; i < policies; i++ {
		if written[named(i)] {
			others++
		}
	}
	if all := len(written); others < all/3 || others > all*2/3 {
		t.Errorf("%d policies were written in 20 s, and %d of them are others than those whose counts change", all, others)
	}
}

// Very many quiet policies are not looked at as often as agents report.
func TestLooksAreBounded(t *testing.T) {
	const policies, seconds = 600, 30
	b := crowd(t, policies)
	for i := range policies {
		b.traffic(named(i), 1, 0)
	}
	b.pass(policies*time.Second/writesPerSecond+10*time.Second, nil)
	before, writes := b.agents.asked, len(b.server.writes)
	b.pass(seconds*time.Second, nil)
	if n := b.agents.asked - before; n > seconds*looksPerSecond*11/10 || n < seconds*looksPerSecond/2 {
		t.Errorf("%d looks in %d s", n, seconds)
	}
	if n := len(b.server.writes) - writes; n > 0 {
		t.Errorf("%d writes of what has not changed", n)
	}
}

// The pods may go at any time, also right after figures were written.
func TestFiguresGoWithThePods(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.pass(20*time.Second, b.busy(1))
	if b.server.objects["shop/p0"].Status.Traffic == nil {
		t.Fatal("no figures")
	}
	b.index.deletePod("shop", "p0")
	b.index.flush(newPublished())
	b.index.published(2)
	b.agents.rollout = distribute.Rollout{}
	b.look("shop/p0")
	b.pass(countInterval, nil)
	if got := b.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of pods that are gone: %+v", got)
	}
	if got := *b.server.objects["shop/p0"].Status.MatchedPods; got != 0 {
		t.Errorf("%d pods", got)
	}
}

func TestFiguresGoWhenNoAgentReports(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.pass(20*time.Second, b.busy(1))
	from, f := b.clock.Now(), b.agents.figures[policy.ParseID("shop/p0")]
	b.pass(silence+lookInterval+trafficInterval, func(int) {
		f.Age = b.clock.Since(from)
		b.agents.figures[policy.ParseID("shop/p0")] = f
	})
	if got := b.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of agents that are silent: %+v", got)
	}
}

// A node that has yet to answer counts against the policy after a while, though nothing happens then.
func TestPatienceEndsByItself(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, WaitingSince: b.clock.Now()}
	b.clock.SetTime(b.clock.Now().Add(time.Second))
	if r := b.look("shop/p0"); r.RequeueAfter != patience-time.Second {
		t.Errorf("looks again after %s, want %s", r.RequeueAfter, patience-time.Second)
	}
}

func TestTurnsAreGivenToWhoHasWaitedLongest(t *testing.T) {
	turns := newTurns(2, 3)
	now := begin
	id := func(name string) policy.ID { return policy.ID{Namespace: "shop", Name: name} }
	next := func(want string) {
		t.Helper()
		got, wait, ok := turns.next(now)
		if name := got.Name; !ok {
			if name = wait.String(); wait == never {
				name = "never"
			}
			if name != want {
				t.Errorf("nobody's turn for %s, want %s", name, want)
			}
		} else if name != want {
			t.Errorf("it is the turn of %s, want %s", name, want)
		}
	}
	next("never")
	turns.want(id("late"), turnFigures, now.Add(-time.Second))
	turns.want(id("early"), turnFigures, now.Add(-time.Minute))
	turns.want(id("counts"), turnCounts, now)
	turns.want(id("then"), turnFigures, now.Add(time.Hour))
	turns.want(id("gone"), turnFigures, now.Add(-time.Hour))
	turns.forget(id("gone"))
	next("early")
	next("counts")
	next("late")
	next("1h0m0s")
	turns.want(id("then"), turnFigures, now)
	next("500.000001ms") // three writes at once, two a second
	if turns.take(id("then")) || !turns.take(id("early")) || turns.take(id("early")) {
		t.Error("a turn that was not given is taken, or one that was is not, or twice")
	}
	turns.refund() // there was nothing to write
	next("then")
	turns.want(id("counts"), turnCounts, now.Add(time.Second)) // while it has the turn
	turns.want(id("counts"), turnFigures, now)                 // counts are the more urgent
	next("1s")
	now = now.Add(time.Hour)
	next("counts")
	if n := turns.size(); n != 3 {
		t.Errorf("%d policies are known, want late, then and counts", n)
	}
}

// The queues stay heaps, and every policy is where it says it is.
func TestTurnsKeepTheirPlaces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	turns := newTurns(1e6, 1e6)
	now := begin
	for range 20000 {
		id := policy.ID{Name: fmt.Sprint(random.IntN(40))}
		switch random.IntN(6) {
		case 0:
			turns.take(id)
		case 1:
			turns.forget(id)
		case 2:
			now = now.Add(time.Millisecond * time.Duration(random.IntN(100)))
			if got, _, ok := turns.next(now); ok && turns.all[got].due.After(now) {
				t.Fatal("a turn before it is due")
			}
		default:
			turns.want(id, turnKind(random.IntN(2)), now.Add(time.Millisecond*time.Duration(random.IntN(1000)-500)))
		}
		waiting := 0
		for kind := range turns.queues {
			for i, w := range turns.queues[kind] {
				if w.place != i || int(w.kind) != kind || turns.all[w.id] != w || i > 0 && w.due.Before(turns.queues[kind][(i-1)/2].due) {
					t.Fatalf("%+v is at place %d of queue %d", w, i, kind)
				}
				waiting++
			}
		}
		for _, w := range turns.all {
			if w.place < 0 {
				waiting++
			}
		}
		if waiting != len(turns.all) {
			t.Fatalf("%d policies are known and %d in some place", len(turns.all), waiting)
		}
	}
}

func TestTurnsAreGivenAsTimeGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 1)
		given := make(chan policy.ID, 100)
		g := &turnGiver{turns: turns, clock: clock.RealClock{}, look: func(ids []policy.ID) {
			for _, id := range ids {
				given <- id
			}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Start(ctx) }()
		began := time.Now()
		after := func(want time.Duration) {
			t.Helper()
			<-given
			if got := time.Since(began).Truncate(time.Millisecond); got != want {
				t.Errorf("a turn after %s, want %s", got, want)
			}
		}
		id := func(n int) policy.ID { return policy.ID{Name: fmt.Sprint(n)} }
		turns.want(id(1), turnFigures, began.Add(10*time.Second))
		turns.want(id(2), turnFigures, began.Add(5*time.Second)) // before the one that is waited for
		after(5 * time.Second)
		turns.want(id(3), turnFigures, began)
		after(6 * time.Second)
		after(10 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
