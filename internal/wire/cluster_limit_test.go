package wire_test

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// callingNode is a node with one pod that calls: an agent's subscription and its routes, and a driver that asks the gates as a proxy does.
type callingNode struct {
	t       *testing.T
	name    string
	table   *routes.Table
	agent   *agent
	rate    float64 // at which calls come
	owed    float64
	waiting []*resilience.Waiter
	gate    *resilience.RateGate
	at      uint64 // version that gate is of
}

// Apply implements subscribe.Applier.
func (n *callingNode) Apply(next *policy.Snapshot) (out []subscribe.Rejection) {
	for _, r := range n.table.Install(next) {
		out = append(out, subscribe.Rejection{Profile: r.Profile, Reason: subscribe.ReasonInvalid, Message: r.Message})
	}
	return out
}

// callers is a cluster under one limit.
type callers struct {
	*testbed
	nodes   []*callingNode
	whole   policy.Share
	started []int // in each step
	refused int
}

const callStep = 10 * time.Millisecond

func newCallers(w *testbed, nodes int) *callers {
	c := &callers{testbed: w}
	for i := range nodes {
		n := &callingNode{t: w.t, name: fmt.Sprint("n", i)}
		var err error
		if n.table, err = routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Node: n.name}); err != nil {
			w.t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
		c.start(n)
	}
	return c
}

func (c *callers) start(n *callingNode) {
	n.agent = c.agent(agentOptions{node: n.name, applies: n, sharer: n.table})
}

func (c *callers) stop() {
	for _, n := range c.nodes {
		n.agent.stop()
	}
}

// limit publishes a limit for all nodes' pods.
func (c *callers) limit(m *manager, l policy.RateLimit) {
	c.whole = l.Share()
	m.publish(c.t, func(b *distribute.Batch) {
		l.Scope, l.Shared = policy.ShareCluster, "shop/partner"
		s := policy.Defaults()
		s.RateLimit = &l
		b.SetProfile(&policy.Profile{Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ParseID("shop/partner"), To: policy.Target{Kind: policy.TargetAny}, Base: s,
		}}})
		for _, n := range c.nodes {
			b.SetWorkload(n.name, &policy.Workload{UID: "pod-" + n.name, Profile: "p"})
		}
	})
}

// run lets time pass, in which calls come.
func (c *callers) run(d time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(callStep)
		synctest.Wait()
		n := 0
		for _, node := range c.nodes {
			started, refused := node.step()
			n, c.refused = n+started, c.refused+refused
		}
		c.started = append(c.started, n)
	}
}

// step has those calls ask whose time has come.
func (n *callingNode) step() (started, refused int) {
	n.owed += n.rate * callStep.Seconds()
	for ; n.owed >= 1; n.owed-- {
		w := &resilience.Waiter{}
		switch n.enter().Enter(time.Now(), w).Verdict {
		case resilience.Pass:
			started++
		case resilience.Park:
			n.waiting = append(n.waiting, w)
		case resilience.Refuse, resilience.Wait:
			refused++
		}
	}
	left := n.waiting[:0]
	for _, w := range n.waiting {
		switch n.gate.Enter(time.Now(), w).Verdict {
		case resilience.Pass:
			started++
		case resilience.Park:
			left = append(left, w)
		case resilience.Refuse, resilience.Wait:
			refused++
		}
	}
	n.waiting = left
	return started, refused
}

// enter returns the gate that calls come to under the policy in force.
func (n *callingNode) enter() *resilience.RateGate {
	if v := n.table.Version(); v != n.at {
		to := netip.MustParseAddrPort("192.0.2.7:80")
		pod := n.table.PodRoutes("pod-" + n.name)
		r, err := pod.Route(&pod.Candidates(to)[0], nil, to)
		if err != nil {
			n.t.Fatal(err)
		}
		n.gate, n.at = r.Plan([]byte("GET"), []byte("/")).Gates[0].(*resilience.RateGate), v
	}
	return n.gate
}

// last is how many calls started in the last stretch of time.
func (c *callers) last(d time.Duration) (n int) {
	for _, v := range c.started[len(c.started)-int(d/callStep):] {
		n += v
	}
	return n
}

// exceeded is by how much calls that started in some window exceed what it may have: the most over all windows.
func (c *callers) exceeded() (most float64) {
	sum, lowest := 0.0, 0.0
	for _, n := range c.started {
		sum += float64(n)
		most = max(most, sum-lowest-c.whole.Burst)
		sum -= c.whole.Rate * callStep.Seconds()
		lowest = min(lowest, sum)
	}
	return most
}

// within fails if the last 10 s had not within 5 % of the whole rate.
func (c *callers) within(what string) {
	c.t.Helper()
	want := c.whole.Rate * 10
	if n := float64(c.last(10 * time.Second)); math.Abs(n-want) > 0.05*want {
		c.t.Errorf("%s: %v calls started in 10 s, want %v", what, n, want)
	}
}

// bounded fails if more started than the whole lets by more than an interval's worth, and a call for each node that began to call.
func (c *callers) bounded() {
	c.t.Helper()
	if e, most := c.exceeded(), 0.25*c.whole.Rate+float64(len(c.nodes)); e > most {
		c.t.Errorf("exceeded by %v calls, want %v at most", e, most)
	}
}

var partner = policy.RateLimit{Requests: 50, Per: time.Second, Burst: 50}

func TestThreeNodesShareALimit(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		c := newCallers(w, 3)
		defer c.stop()
		c.limit(leader, partner)
		time.Sleep(10 * time.Second)
		for _, n := range c.nodes {
			n.rate = 40
		}
		c.run(3 * time.Second)
		c.run(10 * time.Second)
		c.within("with demand everywhere")
		for i := range c.nodes {
			for j, n := range c.nodes {
				n.rate = 0
				if i == j {
					n.rate = 200
				}
			}
			c.run(2 * time.Second)
			c.run(10 * time.Second)
			c.within(fmt.Sprintf("with all demand on node %d", i))
		}
		c.bounded()
		if c.refused == 0 {
			t.Error("nothing was refused: the test shows little")
		}
	})
}

// A manager that goes changes nothing, nor does the next one; the agent that stops gives its share back.
func TestSharesOutliveTheManagerAndReturnFromDeadNodes(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		c := newCallers(w, 3)
		defer c.stop()
		c.limit(leader, partner)
		time.Sleep(10 * time.Second)
		c.nodes[0].rate, c.nodes[1].rate, c.nodes[2].rate = 200, 0.5, 0
		c.run(5 * time.Second)
		w.removeReplica("a:1")
		c.run(20 * time.Second)
		c.within("without a manager")

		next := w.leader("b:1")
		c.limit(next, partner)
		c.run(10 * time.Second)
		c.within("in the first 10 s of another manager")
		c.nodes[0].rate, c.nodes[1].rate = 0, 200
		c.run(2 * time.Second)
		c.run(10 * time.Second)
		c.within("when demand has moved under the other manager")
		c.bounded()

		c.nodes[1].rate = 0
		c.nodes[1].agent.stop()
		c.nodes[0].rate = 200
		c.run(8 * time.Second)
		c.run(10 * time.Second)
		c.within("when the node with the share has died")
		if _, held := next.store.LimitShares(); held != 1 {
			t.Errorf("%d shares are held, want that of the one node that calls", held)
		}
		c.start(c.nodes[1])
	})
}

// Whichever leader comes, and with all demand on one of three nodes: from the first moment on no less than 95 % is of use.
func TestANewLeaderTakesNothingAway(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		at := "a:1"
		leader := w.leader(at)
		c := newCallers(w, 3)
		defer c.stop()
		c.limit(leader, partner)
		time.Sleep(10 * time.Second)
		c.nodes[0].rate, c.nodes[1].rate, c.nodes[2].rate = 200, 0.5, 0.5
		c.run(15 * time.Second)
		for _, next := range []string{"b:1", "c:1", "d:1"} {
			w.removeReplica(at)
			c.run(2 * time.Second)
			c.limit(w.leader(next), partner)
			for range 10 {
				c.run(time.Second)
				if n := c.last(time.Second); n < 45 {
					t.Errorf("%s: %d calls started in a second, want 50", next, n)
				}
			}
			c.within("in the first 10 s of " + next)
			at = next
		}
		c.bounded()
	})
}

// Calls that may wait do while the first share is on its way, and all are let in at the whole rate.
func TestCallsWaitForTheirNodesShare(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		c := newCallers(w, 3)
		defer c.stop()
		l := partner
		l.Burst, l.MaxWait = 3, 2*time.Second
		c.limit(leader, l)
		time.Sleep(10 * time.Second)
		c.nodes[2].rate = 45
		c.run(12 * time.Second)
		if n := c.last(10 * time.Second); n < 440 || c.refused > 0 {
			t.Errorf("%d calls started in 10 s of 450, %d were refused", n, c.refused)
		}
		c.bounded()
	})
}

// An edit is in force at once where it is for less, and soon where it is for more.
func TestAnEditOfASharedLimit(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		c := newCallers(w, 3)
		defer c.stop()
		c.limit(leader, policy.RateLimit{Requests: 100, Per: time.Second, Burst: 20})
		time.Sleep(10 * time.Second)
		for _, n := range c.nodes {
			n.rate = 100
		}
		c.run(13 * time.Second)
		c.within("before")
		c.limit(leader, policy.RateLimit{Requests: 20, Per: time.Second, Burst: 20})
		c.run(10 * time.Second)
		c.started = c.started[len(c.started)-1000:]
		c.bounded()
		c.within("with less")
		c.limit(leader, policy.RateLimit{Requests: 200, Per: time.Second, Burst: 20})
		c.run(2 * time.Second)
		c.run(10 * time.Second)
		c.within("with more")
		leader.publish(t, func(b *distribute.Batch) {
			for _, n := range c.nodes {
				b.RemoveWorkload("pod-" + n.name)
				n.rate = 0
			}
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if limits, held := leader.store.LimitShares(); limits != 0 || held != 0 {
			t.Errorf("%d limits and %d shares are left", limits, held)
		}
		for _, n := range c.nodes {
			if left := n.table.Shares(); len(left) != 0 {
				t.Errorf("%s has %v left", n.name, left)
			}
		}
	})
}
