package wire_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// destination is an upstream that counts the attempts that reach it.
type destination struct {
	down  bool
	calls map[string]int // by node
}

// caller is a node with one pod, whose calls go to a destination that the policy names.
type caller struct {
	*agent
	node  string
	table *routes.Table
	sick  bool // the node's own network is broken
	to    *destination
}

type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

type tableApplier struct{ table *routes.Table }

// Apply implements subscribe.Applier.
func (a tableApplier) Apply(next *policy.Snapshot) (out []subscribe.Rejection) {
	for _, r := range a.table.Install(next) {
		out = append(out, subscribe.Rejection{Profile: r.Profile, Reason: subscribe.ReasonInvalid, Message: r.Message})
	}
	return out
}

func (w *testbed) caller(node string, to *destination) *caller {
	w.t.Helper()
	table, err := routes.New(routes.Options{Node: node, Dialer: func(string) upstream.Dialer { return noDialer{} }})
	if err != nil {
		w.t.Fatal(err)
	}
	c := &caller{node: node, table: table, to: to}
	c.agent = w.agent(agentOptions{node: node, applies: tableApplier{table}, breakers: table, noCopy: true})
	return c
}

func (c *caller) breaker(t *testing.T) *resilience.Breaker {
	t.Helper()
	pod := c.table.PodRoutes("pod-" + c.node)
	original := netip.MustParseAddrPort("10.0.0.1:80")
	found := pod.Candidates(original)
	route, err := pod.Route(&found[0], []byte("api.example"), original)
	if err != nil {
		t.Fatal(err)
	}
	return route.Plan([]byte("GET"), []byte("/")).Breaker
}

// call makes a call, and reports whether it reached the upstream.
func (c *caller) call(t *testing.T) bool {
	t.Helper()
	b := c.breaker(t)
	p, allowed := b.Allow(time.Now())
	if allowed {
		c.to.calls[c.node]++
		b.Done(time.Now(), p, resilience.Result{Failed: c.sick || c.to.down})
	}
	return allowed
}

func sharedProfile(change func(b *policy.Breaker)) *policy.Profile {
	cfg := policy.DefaultBreaker()
	cfg.ConsecutiveFailures, cfg.Sharing = 3, policy.ShareCluster
	cfg.OpenDuration, cfg.OpenMaxDuration, cfg.OpenJitterPercent = 5*time.Second, 20*time.Second, 0
	if change != nil {
		change(&cfg)
	}
	base := policy.Defaults()
	base.Breaker = &cfg
	return &policy.Profile{Name: "p", Bindings: []policy.Binding{{
		Key: "k", Policy: policy.ParseID("shop/p"), Merged: []policy.ID{policy.ParseID("shop/p")},
		To: policy.Target{Kind: policy.TargetHost, Host: "api.example"}, Base: base,
	}}}
}

func sharedPods(nodes ...string) func(b *distribute.Batch) {
	return func(b *distribute.Batch) {
		b.SetProfile(sharedProfile(nil))
		for _, n := range nodes {
			b.SetWorkload(n, &policy.Workload{UID: "pod-" + n, Namespace: "shop", Name: "pod-" + n, Profile: "p"})
		}
	}
}

// cluster is a manager and a caller on each of some nodes, after the time for which a new leader opens nothing.
func (w *testbed) cluster(size int) (*manager, *destination, []*caller) {
	m := w.leader("m1")
	to := &destination{calls: map[string]int{}}
	var nodes []string
	for i := range size {
		nodes = append(nodes, fmt.Sprint("n", i))
	}
	m.publish(w.t, sharedPods(nodes...))
	var callers []*caller
	for _, n := range nodes {
		callers = append(callers, w.caller(n, to))
	}
	time.Sleep(10 * time.Second)
	return m, to, callers
}

// during has callers call every so often for a time, and returns how many calls reached the upstream.
func during(t *testing.T, span, every time.Duration, callers ...*caller) (reached int) {
	t.Helper()
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(every) {
		for _, c := range callers {
			if c.call(t) {
				reached++
			}
		}
	}
	return reached
}

func stop(callers []*caller) {
	for _, c := range callers {
		c.stop()
	}
}

func TestADestinationOpensEverywhereWithinASecond(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(4)
		defer stop(callers)
		idle, calling := callers[3], callers[:3]
		during(t, 2*time.Second, 50*time.Millisecond, calling...)
		to.down = true
		start := time.Now()
		during(t, 500*time.Millisecond, 50*time.Millisecond, calling[:2]...) // two of three find out
		time.Sleep(time.Until(start.Add(time.Second)))
		for _, c := range []*caller{calling[2], idle} {
			if c.call(t) {
				t.Errorf("%s still calls a second after the destination went down for two of three", c.node)
			}
			if b := c.breaker(t); b.OpenedBy(time.Now()) != resilience.ByCluster || b.Status(time.Now()).State != resilience.Open {
				t.Errorf("%s: %+v", c.node, b.Status(time.Now()))
			}
		}
	})
}

func TestOneSickCallerKeepsOutNobodyElse(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(3)
		defer stop(callers)
		callers[0].sick = true
		during(t, 20*time.Second, 50*time.Millisecond, callers...)
		if got := to.calls["n1"] + to.calls["n2"]; got != 2*400 {
			t.Errorf("%d of 800 calls of the other nodes got through", got)
		}
		if to.calls["n0"] > 20 {
			t.Errorf("%d calls of the sick one", to.calls["n0"])
		}
		// Alone it is no more believed by those who come later.
		during(t, 30*time.Second, 50*time.Millisecond, callers[0])
		if !callers[1].call(t) {
			t.Error("one node's view has opened it for a node that did not call for a while")
		}
	})
}

// One sick caller, and others that call seldom and of whose calls a quarter fails: it stays open for the sick one alone.
func TestASickCallerAmongFailuresKeepsOutNobodyElse(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		m, to, callers := w.cluster(4)
		defer stop(callers)
		m.publish(t, func(b *distribute.Batch) {
			b.SetProfile(sharedProfile(func(b *policy.Breaker) {
				b.ConsecutiveFailures = 0
				b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
			}))
		})
		time.Sleep(time.Second)
		random := rand.New(rand.NewPCG(1, 1))
		callers[0].sick = true
		failed := 0
		for range 500 {
			during(t, time.Second, 50*time.Millisecond, callers[0])
			for _, c := range callers[1:3] { // the last one does not call
				if random.IntN(3) > 0 {
					continue
				}
				if to.down = random.IntN(4) == 0; to.down {
					failed++
				}
				if !c.call(t) {
					t.Fatalf("%s is kept out by one sick node", c.node)
				}
				to.down = false
			}
		}
		if to.calls["n0"] > 200 || failed < 50 || !callers[3].call(t) {
			t.Errorf("%d calls of the sick one, %d failures of others", to.calls["n0"], failed)
		}
	})
}

// Where one node alone makes calls enough to open its breaker, others that see nothing but failures are its second opinion.
func TestFailuresOfSeldomCallersAreASecondOpinion(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		m, to, callers := w.cluster(3)
		defer stop(callers)
		m.publish(t, func(b *distribute.Batch) {
			b.SetProfile(sharedProfile(func(b *policy.Breaker) { b.ConsecutiveFailures = 15 }))
		})
		time.Sleep(time.Second)
		during(t, 2*time.Second, 50*time.Millisecond, callers[:2]...)
		to.down = true
		during(t, time.Second, 50*time.Millisecond, callers[0])
		for i := range 10 {
			if !callers[1].call(t) {
				t.Fatalf("%d failures are a second opinion", i)
			}
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for _, c := range callers {
			if c.call(t) || c.breaker(t).OpenedBy(time.Now()) != resilience.ByCluster {
				t.Errorf("%s still calls", c.node)
			}
		}
	})
}

func TestFewProbeForAllAndTheirResultHoldsForAll(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(5)
		defer stop(callers)
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		to.down = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		clear(to.calls)
		probes := during(t, 60*time.Second, 50*time.Millisecond, callers...)
		// Open for 5, 10, 20, 20 … s: with sharing Node each of the five would probe at each end of these, four times or more.
		if probes < 3 || probes > 6 {
			t.Errorf("%d probes of the whole cluster in a minute: %v", probes, to.calls)
		}
		to.down = false
		during(t, 25*time.Second, 50*time.Millisecond, callers...)
		clear(to.calls)
		if n := during(t, time.Second, 50*time.Millisecond, callers...); n != 5*20 {
			t.Errorf("%d of 100 calls got through when the destination was back: %v", n, to.calls)
		}
	})
}

// A sick node that probes is no reason to keep the others out for good.
func TestASickNodeThatProbesMakesRoom(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(3)
		defer stop(callers)
		callers[0].sick = true
		during(t, time.Second, 50*time.Millisecond, callers...)
		to.down = true
		during(t, 3*time.Second, 50*time.Millisecond, callers...)
		to.down = false
		during(t, time.Minute, 50*time.Millisecond, callers...)
		clear(to.calls)
		during(t, time.Second, 50*time.Millisecond, callers...)
		if to.calls["n1"] != 20 || to.calls["n2"] != 20 {
			t.Errorf("%v", to.calls)
		}
	})
}

func TestWithoutAManagerEachNodeGoesByItself(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(3)
		defer stop(callers)
		to.down = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		w.removeReplica("m1")
		clear(to.calls)
		during(t, 10*time.Second, 50*time.Millisecond, callers...)
		for _, c := range callers { // each probes by itself, once the open time is over
			if to.calls[c.node] != 1 {
				t.Errorf("%s: %d calls, want 1 probe", c.node, to.calls[c.node])
			}
		}
		to.down = false
		during(t, 25*time.Second, 50*time.Millisecond, callers...)
		for _, c := range callers {
			if !c.call(t) {
				t.Errorf("%s is still open", c.node)
			}
		}
		// And one that went down for one node alone is open there alone.
		callers[0].sick = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		if callers[0].call(t) || !callers[1].call(t) {
			t.Error("not each by itself")
		}
	})
}

func TestANewLeaderGoesOn(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(3)
		defer stop(callers)
		to.down = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		next := w.leader("m2")
		next.publish(t, sharedPods("n0", "n1", "n2"))
		w.removeReplica("m1")
		during(t, 30*time.Second, 50*time.Millisecond, callers...)
		clear(to.calls)
		if n := during(t, 60*time.Second, 50*time.Millisecond, callers...); n > 8 {
			t.Errorf("%d probes in a minute under the new leader: %v", n, to.calls)
		}
		to.down = false
		during(t, 25*time.Second, 50*time.Millisecond, callers...)
		if n := during(t, time.Second, 50*time.Millisecond, callers...); n != 60 {
			t.Errorf("%d of 60 calls got through", n)
		}
	})
}

func TestANodeThatComesOrReturnsDoesAsTheOthers(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		_, to, callers := w.cluster(3)
		defer func() { stop(callers) }()
		to.down = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		callers[2].stop()
		again := w.caller("n2", to) // the agent starts again and knows nothing
		callers[2] = again
		time.Sleep(2 * time.Second)
		if again.call(t) {
			t.Error("an agent that has just started calls what is open for all")
		}
		// The node that probes is lost: another one does.
		clear(to.calls)
		for _, c := range callers[:2] {
			c.stop()
		}
		to.down = false
		during(t, 30*time.Second, 50*time.Millisecond, again)
		if !again.call(t) {
			t.Errorf("still open when the other nodes are gone")
		}
		callers = callers[2:]
	})
}

// Editing the breaker starts it again everywhere, and what was decided on the former one is forgotten.
func TestAnEditedBreakerStartsAgain(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		m, to, callers := w.cluster(3)
		defer stop(callers)
		to.down = true
		during(t, 2*time.Second, 50*time.Millisecond, callers...)
		to.down = false
		m.publish(t, func(b *distribute.Batch) {
			b.SetProfile(sharedProfile(func(b *policy.Breaker) { b.ConsecutiveFailures = 4 }))
		})
		time.Sleep(time.Second)
		if n := during(t, 30*time.Second, 50*time.Millisecond, callers...); n != 3*600 {
			t.Errorf("%d of 1800 calls got through", n)
		}
		if slices.ContainsFunc(callers, func(c *caller) bool { return c.breaker(t).OpenedBy(time.Now()) != resilience.ByNode }) {
			t.Error("the cluster keeps one open")
		}
	})
}
