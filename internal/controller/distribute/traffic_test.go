package distribute

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

var payments = policy.ParseID("shop/p")

// trafficStore is a store whose nodes n1 and n2 have policy shop/p for shop/cart and shop/stock.
func trafficStore(t *testing.T) *Store {
	t.Helper()
	s := NewStore(StoreOptions{})
	var b Batch
	b.SetProfile(profileOf("p", 1, "shop/cart", "shop/stock"))
	b.SetProfile(profileOf("elsewhere", 1, "shop/cart"))
	b.SetWorkload("n1", pod("a", "p"))
	b.SetWorkload("n2", pod("b", "p"))
	b.SetWorkload("n3", pod("c", "elsewhere"))
	if err := s.Publish(&b); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"n1", "n2", "n3"} {
		s.traffic.streamStarted(agentOf(n))
	}
	return s
}

func agentOf(node string) agentID { return agentID{node: node, agent: "agent-" + node} }

func calls(target string, n uint64) policy.Traffic {
	t := policy.Traffic{Policy: payments, Target: "service shop/" + target, Counts: policy.Counts{Requests: n, Successes: n}}
	t.Latency[10] = n
	return t
}

func report(sequence uint64, entries ...policy.Traffic) wire.Report {
	return wire.Report{Sequence: sequence, Body: policy.Report{Traffic: entries}}
}

func TestReportsOfAllAgentsAreSummedPerDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		s.observe(agentOf("n1"), report(1, calls("cart", 3), calls("stock", 5)))
		s.observe(agentOf("n2"), report(1, calls("cart", 4)))
		f := s.Traffic(payments)
		if f.Counts.Requests != 12 || f.Latency[10] != 12 || !f.AsOf.Equal(time.Now()) {
			t.Errorf("got %+v", f.Counts)
		}
		got := map[string]uint64{}
		for _, target := range f.Targets {
			got[target.Target] = target.Counts.Requests
		}
		if diff := cmp.Diff(map[string]uint64{"service shop/cart": 7, "service shop/stock": 5}, got); diff != "" {
			t.Errorf("targets (-want +got):\n%s", diff)
		}
		if q, _ := f.Latency.Quantile(0.5); policy.LatencyBucket(q) != 10 {
			t.Errorf("median %v", q)
		}
	})
}

func TestFiguresSlideOutOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		// One call a second; the window then always holds about a minute of them.
		for second := range 300 {
			s.observe(agentOf("n1"), report(uint64(second+1), calls("cart", 1)))
			got := int(s.Traffic(payments).Counts.Requests)
			want := min(second+1, 60)
			if got > want || got < want-int(bucketSpan/time.Second) {
				t.Fatalf("second %d: %d calls in the window, want about %d", second, got, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(Window)
		if got := s.Traffic(payments); got.Counts != (policy.Counts{}) || got.Latency != (policy.Latency{}) {
			t.Errorf("still in the window: %+v", got.Counts)
		}
	})
}

func TestAReportThatComesLateCountsForItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		late := report(1, calls("cart", 5))
		late.Age = 50 * time.Second
		s.observe(agentOf("n1"), late)
		for i, age := range []time.Duration{Window, 24 * time.Hour, math.MaxInt64} {
			tooLate := report(uint64(2+i), calls("cart", 7))
			tooLate.Age = age
			s.observe(agentOf("n1"), tooLate)
		}
		if got := s.Traffic(payments).Counts.Requests; got != 5 {
			t.Errorf("%d calls, want 5", got)
		}
		time.Sleep(15 * time.Second)
		if got := s.Traffic(payments).Counts.Requests; got != 0 {
			t.Errorf("%d calls after their minute, want 0", got)
		}
	})
}

func TestAReportIsCountedOnce(t *testing.T) {
	s := trafficStore(t)
	for _, sequence := range []uint64{1, 1, 2, 1, 2, 3} {
		s.observe(agentOf("n1"), report(sequence, calls("cart", 1)))
	}
	if got := s.Traffic(payments).Counts.Requests; got != 3 {
		t.Errorf("%d calls, want 3", got)
	}
}

func TestGaugesAreTheAgentsLastAndLeaveWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		open := func(n int) policy.Traffic {
			c := calls("cart", 0)
			c.BreakersOpen, c.Connections = n, 10*n
			return c
		}
		s.observe(agentOf("n1"), report(1, open(2)))
		s.observe(agentOf("n1"), report(2, open(1)))
		s.observe(agentOf("n2"), report(1, open(3)))
		if f := s.Traffic(payments); f.Breakers.Open != 4 || f.Connections != 40 {
			t.Errorf("%d breakers, %d connections; want 4, 40", f.Breakers.Open, f.Connections)
		}
		s.observe(agentOf("n1"), report(3))
		if f := s.Traffic(payments); f.Breakers.Open != 3 {
			t.Errorf("%d breakers after they closed on n1, want 3", f.Breakers.Open)
		}
		s.traffic.streamStarted(agentOf("n2")) // its next stream begins before the last one ends
		s.traffic.streamEnded(agentOf("n2"), time.Now())
		if f := s.Traffic(payments); f.Breakers.Open != 3 {
			t.Errorf("%d breakers with a stream left, want 3", f.Breakers.Open)
		}
		s.traffic.streamEnded(agentOf("n2"), time.Now())
		if f := s.Traffic(payments); f.Breakers.Open != 0 || f.Connections != 0 {
			t.Errorf("%d breakers after the agent left", f.Breakers.Open)
		}
		time.Sleep(3 * Window)
		s.sweep(time.Now())
		if n := len(s.traffic.nodes); n != 2 {
			t.Errorf("%d nodes with agents remembered, want the 2 that are there", n)
		}
	})
}

func TestReportsCountOnlyForPoliciesOfTheAgentsNode(t *testing.T) {
	s := trafficStore(t)
	s.observe(agentOf("n3"), report(1, calls("cart", 100)))
	if f := s.Traffic(payments); f.Counts.Requests != 0 || !f.AsOf.IsZero() {
		t.Errorf("got %+v", f)
	}
	unknown := calls("cart", 100)
	unknown.Policy = policy.ParseID("shop/never")
	s.observe(agentOf("n1"), report(1, unknown, calls("never", 100)))
	if f := s.Traffic(payments); f.Counts.Requests != 0 {
		t.Errorf("got %+v", f)
	}
	if len(s.traffic.policies) != 2 {
		t.Errorf("%d policies are summed, want 2", len(s.traffic.policies))
	}
}

func TestProblemsAreTheAgentsLastAndBounded(t *testing.T) {
	s := trafficStore(t)
	problem := func(name string, ids ...policy.ID) policy.CaptureProblem {
		return policy.CaptureProblem{Namespace: "shop", Pod: name, Policies: ids, Reason: "NoNetworkNamespace"}
	}
	s.observe(agentOf("n1"), wire.Report{Sequence: 1, Body: policy.Report{Problems: []policy.CaptureProblem{
		problem("b", payments), problem("x", policy.ParseID("shop/elsewhere")),
	}}})
	var many []policy.CaptureProblem
	for i := range policy.MaxProblems {
		many = append(many, problem(fmt.Sprintf("c%02d", i), payments, policy.ParseID("other/secret")))
	}
	s.observe(agentOf("n2"), wire.Report{Sequence: 1, Body: policy.Report{Problems: many}})
	f := s.Traffic(payments)
	if f.Uncaptured != policy.MaxProblems+1 || len(f.Problems) != policy.MaxProblems || f.Problems[0].Pod != "b" {
		t.Errorf("got %d: %+v", f.Uncaptured, f.Problems)
	}
	if diff := cmp.Diff([]policy.ID{payments}, f.Problems[1].Policies); diff != "" {
		t.Errorf("policies of a problem (-want +got):\n%s", diff)
	}
	s.observe(agentOf("n1"), report(2))
	s.observe(agentOf("n2"), report(2))
	if f := s.Traffic(payments); f.Uncaptured != 0 {
		t.Errorf("problems stay: %+v", f.Problems)
	}
}

func TestSumsGoWithTheLastProfileThatHasThem(t *testing.T) {
	s := trafficStore(t)
	s.observe(agentOf("n1"), report(1, calls("cart", 1), calls("stock", 1)))
	var b Batch
	b.SetProfile(profileOf("p", 2, "shop/cart"))
	if err := s.Publish(&b); err != nil {
		t.Fatal(err)
	}
	if f := s.Traffic(payments); len(f.Targets) != 1 || f.Counts.Requests != 1 {
		t.Errorf("after the edit: %+v", f.Targets)
	}
	b = Batch{}
	b.RemoveProfile("p")
	if err := s.Publish(&b); err != nil {
		t.Fatal(err)
	}
	if f := s.Traffic(payments); len(f.Targets) != 0 {
		t.Errorf("after the removal: %+v", f.Targets)
	}
}

func TestReportsTravelAndAreAcknowledged(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) {
			b.SetProfile(profileOf("p", 1, "shop/cart"))
			b.SetWorkload("n1", pod("a", "p"))
		})
		a := o.agent("token-n1")
		stream, err := a.client.Report(a.ctx)
		if err != nil {
			t.Fatal(err)
		}
		open := calls("cart", 2)
		open.BreakersOpen = 1
		for sequence := uint64(7); sequence < 9; sequence++ {
			if err := stream.Send(report(sequence, open)); err != nil {
				t.Fatal(err)
			}
			if got, err := stream.RecvAck(); err != nil || got != (wire.ReportAck{Sequence: sequence, Interval: bucketSpan}) {
				t.Fatalf("acknowledged %+v, %v; want %d", got, err, sequence)
			}
		}
		if f := o.store.Traffic(payments); f.Counts.Requests != 4 || f.Breakers.Open != 1 {
			t.Errorf("got %+v", f)
		}
		a.leave()
		if f := o.store.Traffic(payments); f.Counts.Requests != 4 || f.Breakers.Open != 0 {
			t.Errorf("after the agent left: %d calls, %d breakers; want 4, 0", f.Counts.Requests, f.Breakers.Open)
		}
	})
}
