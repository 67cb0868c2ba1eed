package distribute

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// run returns a report of one process of an agent.
func run(instance, sequence uint64, entries ...policy.Traffic) wire.Report {
	r := report(sequence, entries...)
	r.Instance = instance
	return r
}

// An agent starts its sequence at its clock. When that is set back and the agent restarts, its reports must not be taken for old ones.
func TestReportsOfARestartedAgentCountWhateverItsClockSays(t *testing.T) {
	s := trafficStore(t)
	n1 := agentOf("n1")
	hour := uint64(time.Hour / time.Microsecond)
	s.observe(n1, run(7, 2*hour, calls("cart", 1)))
	s.observe(n1, run(8, hour, calls("cart", 10))) // restarted, with the clock set back by an hour
	s.observe(n1, run(8, hour+1, calls("cart", 100)))
	s.observe(n1, run(7, 2*hour+1, calls("cart", 1000))) // sent by the process before, and late
	for _, again := range []wire.Report{run(8, hour), run(7, 2*hour), run(8, hour+1), run(7, 2*hour+1)} {
		again.Body.Traffic = []policy.Traffic{calls("cart", 50000)}
		s.observe(n1, again)
	}
	if got := s.Traffic(payments).Counts.Requests; got != 1111 {
		t.Errorf("%d calls counted, want 1111", got)
	}
}

// Agents that know no instances have sequences that grow over restarts.
func TestReportsWithoutAnInstanceAreCountedOnce(t *testing.T) {
	s := trafficStore(t)
	for _, sequence := range []uint64{5, 6, 5, 100, 6, 100, 101} {
		s.observe(agentOf("n1"), report(sequence, calls("cart", 1)))
	}
	if got := s.Traffic(payments).Counts.Requests; got != 4 {
		t.Errorf("%d calls, want 4", got)
	}
}

func TestAReportWithoutAnEntryForAPolicyMeansThatNobodyCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		if f := s.Traffic(payments); !f.AsOf.IsZero() {
			t.Fatalf("figures as of %s before any report", f.AsOf)
		}
		s.observe(agentOf("n1"), report(1))
		if f := s.Traffic(payments); !f.AsOf.Equal(time.Now()) || f.Age != 0 || f.Counts != (policy.Counts{}) {
			t.Errorf("figures as of %s, %s old: %+v", f.AsOf, f.Age, f.Counts)
		}
		time.Sleep(10 * time.Second)
		late := report(2)
		late.Age = 7 * time.Second
		s.observe(agentOf("n1"), late)
		if f := s.Traffic(payments); f.Age != 7*time.Second || !f.AsOf.Equal(time.Now().Add(-f.Age)) {
			t.Errorf("figures as of %s, %s old", f.AsOf, f.Age)
		}
	})
}

func breakers(open, halfOpen int, age time.Duration) policy.Traffic {
	c := calls("cart", 0)
	c.BreakersOpen, c.BreakersHalfOpen, c.BreakerAge = open+halfOpen, halfOpen, age
	return c
}

func TestTheWorstStateOfBreakersIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		want := func(open, halfOpen int, age time.Duration) {
			t.Helper()
			got := s.Traffic(payments).Breakers
			if got.Closings = 0; got != (Breakers{Open: open, HalfOpen: halfOpen, For: age}) {
				t.Errorf("got %+v, want %d open and %d half-open for %s", got, open, halfOpen, age)
			}
		}
		want(0, 0, 0)
		s.observe(agentOf("n1"), report(1, breakers(0, 1, time.Minute)))
		want(0, 1, time.Minute)
		s.observe(agentOf("n2"), report(1, breakers(0, 2, time.Hour)))
		want(0, 3, time.Hour)
		s.observe(agentOf("n1"), report(2, breakers(2, 0, time.Second)))
		want(2, 2, time.Second)
		time.Sleep(5 * time.Second)
		s.observe(agentOf("n1"), report(3, breakers(2, 0, 6100*time.Millisecond))) // the same change: this report was faster
		want(2, 2, 6*time.Second)
		time.Sleep(5 * time.Second)
		s.observe(agentOf("n1"), report(4, breakers(1, 1, time.Second))) // it closed and opened again in between
		want(1, 3, time.Second)
		s.observe(agentOf("n1"), report(5))
		s.observe(agentOf("n2"), report(2))
		want(0, 0, 0)
		// An agent that says no more than how many there are: since it said so first.
		s.observe(agentOf("n2"), report(3, breakers(1, 0, 0)))
		time.Sleep(5 * time.Second)
		s.observe(agentOf("n2"), report(4, breakers(1, 0, 0)))
		want(1, 0, 5*time.Second)
		s.observe(agentOf("n2"), report(5, policy.Traffic{Policy: payments, Target: "service shop/cart", BreakersOpen: 1, BreakersHalfOpen: 7}))
		want(0, 1, 0)
	})
}

// Nodes judge endpoints by themselves, and mostly the same ones: so many are out as by the node that keeps out the most.
func TestEndpointsThatAreOutAreThoseOfTheNodeWithTheMost(t *testing.T) {
	s := trafficStore(t)
	out := func(n int) policy.Traffic {
		c := calls("cart", 0)
		c.Ejected = n
		return c
	}
	s.observe(agentOf("n1"), report(1, out(1)))
	s.observe(agentOf("n2"), report(1, out(3)))
	if f := s.Traffic(payments); f.Ejected != 3 || f.Targets[0].Ejected+f.Targets[len(f.Targets)-1].Ejected != 3 {
		t.Errorf("%d are out", f.Ejected)
	}
	s.observe(agentOf("n2"), report(2, out(0)))
	if f := s.Traffic(payments); f.Ejected != 1 {
		t.Errorf("%d are out", f.Ejected)
	}
	s.observe(agentOf("n1"), report(2))
	if f := s.Traffic(payments); f.Ejected != 0 {
		t.Errorf("%d are out", f.Ejected)
	}
}

func TestConnectionsPassedThroughAreSummed(t *testing.T) {
	s := trafficStore(t)
	through := func(open int, n uint64) policy.Traffic {
		c := calls("cart", 0)
		c.OpaqueOpen, c.Counts = open, policy.Counts{Opaque: n, OpaqueSent: 10 * n, OpaqueReceived: 100 * n}
		return c
	}
	s.observe(agentOf("n1"), report(1, through(3, 4)))
	s.observe(agentOf("n1"), report(2, through(2, 0)))
	s.observe(agentOf("n2"), report(1, through(1, 1)))
	if f := s.Traffic(payments); f.OpaqueOpen != 3 || f.Counts != (policy.Counts{Opaque: 5, OpaqueSent: 50, OpaqueReceived: 500}) {
		t.Errorf("%d open, %+v", f.OpaqueOpen, f.Counts)
	}
}

func TestOlderConnectionsAndNoticesAreTheAgentsLast(t *testing.T) {
	s := trafficStore(t)
	elsewhere := policy.ParseID("shop/elsewhere")
	of := func(sequence uint64, connections int) wire.Report {
		r := report(sequence)
		r.Body.Older = []policy.OlderConnections{{Policy: payments, Connections: connections}, {Policy: elsewhere, Connections: 1000}}
		r.Body.Notices = []policy.CaptureProblem{
			{Namespace: "shop", Pod: "a", Policies: []policy.ID{payments, elsewhere}, Reason: "ForeignRedirect"},
			{Namespace: "shop", Pod: "b", Policies: []policy.ID{elsewhere}, Reason: "ForeignRedirect"},
		}
		return r
	}
	s.observe(agentOf("n1"), of(1, 30))
	s.observe(agentOf("n2"), of(1, 5))
	s.observe(agentOf("n1"), of(2, 32))
	f := s.Traffic(payments)
	if f.OlderConnections != 37 || len(f.Notices) != 2 || f.Notices[0].Pod != "a" || len(f.Problems) != 0 || f.Uncaptured != 0 {
		t.Errorf("%d older connections, notices %+v, problems %+v", f.OlderConnections, f.Notices, f.Problems)
	}
	if f := s.Traffic(elsewhere); f.OlderConnections != 0 || len(f.Notices) != 0 {
		t.Errorf("an agent's report counts for a policy that its node does not have: %+v", f)
	}
	s.observe(agentOf("n1"), report(3))
	s.traffic.streamEnded(agentOf("n2"), time.Now())
	if f := s.Traffic(payments); f.OlderConnections != 0 || len(f.Notices) != 0 {
		t.Errorf("they stay: %+v", f)
	}
	if n := len(s.traffic.findings.concerned) + len(s.traffic.findings.byAgent); n != 0 {
		t.Errorf("%d policies are still concerned", n)
	}
}

// Findings about pods count for all policies that have a part in their profile, also for those without a binding of their own.
func TestReportsCountForMergedPoliciesToo(t *testing.T) {
	s := NewStore(StoreOptions{})
	base := policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "base"}
	profile := profileOf("p", 1, "shop/cart")
	profile.Bindings[0].Merged = []policy.ID{base, payments}
	var b Batch
	b.SetProfile(profile)
	b.SetWorkload("n1", pod("a", "p"))
	if err := s.Publish(&b); err != nil {
		t.Fatal(err)
	}
	s.traffic.streamStarted(agentOf("n1"))
	s.changed.take()
	r := report(1)
	r.Body.Problems = []policy.CaptureProblem{{Namespace: "shop", Pod: "a", Policies: []policy.ID{base, payments}, Reason: "No"}}
	r.Body.Older = []policy.OlderConnections{{Policy: base, Connections: 3}, {Policy: payments, Connections: 2}}
	s.observe(agentOf("n1"), r)
	for id, older := range map[policy.ID]int{base: 3, payments: 2} {
		if f := s.Traffic(id); f.Uncaptured != 1 || f.OlderConnections != older {
			t.Errorf("%s: %d pods not captured, %d older connections", id, f.Uncaptured, f.OlderConnections)
		}
	}
	if got := s.changed.take(); !slices.Contains(got, "p") {
		t.Errorf("announced %v", got)
	}
}

// Whoever shows figures comes for them at his own pace. What somebody waits for is announced when it changes, and only then.
func TestChangesOfBreakersAndPodsMarkPoliciesChanged(t *testing.T) {
	s := trafficStore(t)
	s.changed.take()
	sequence := uint64(0)
	wantMarked := func(what string, want bool, r wire.Report) {
		t.Helper()
		sequence++
		r.Sequence = sequence
		s.observe(agentOf("n1"), r)
		if got := slices.Contains(s.changed.take(), "p"); got != want {
			t.Errorf("%s: announced %t, want %t", what, got, want)
		}
	}
	with := func(change func(*policy.Report)) wire.Report {
		var r wire.Report
		change(&r.Body)
		return r
	}
	problem := policy.CaptureProblem{Namespace: "shop", Pod: "a", Policies: []policy.ID{payments}, Reason: "No"}
	problems := with(func(r *policy.Report) { r.Problems = []policy.CaptureProblem{problem} })
	notices := with(func(r *policy.Report) { r.Notices = []policy.CaptureProblem{problem} })
	older := func(n int) wire.Report {
		return with(func(r *policy.Report) { r.Older = []policy.OlderConnections{{Policy: payments, Connections: n}} })
	}
	wantMarked("nothing", false, report(0))
	wantMarked("calls", false, report(0, calls("cart", 1)))
	wantMarked("a breaker opens", true, report(0, breakers(1, 0, 1)))
	wantMarked("it stays open, and another opens", false, report(0, breakers(2, 0, 1)))
	wantMarked("they are half-open", true, report(0, breakers(0, 2, 1)))
	wantMarked("they close", true, report(0, calls("cart", 1)))
	wantMarked("a pod cannot be captured", true, problems)
	wantMarked("it still cannot", false, problems)
	wantMarked("it is, with a notice", true, notices)
	wantMarked("older connections", true, older(37))
	wantMarked("fewer of them", false, older(36))
	wantMarked("none", true, report(0))
	wantMarked("a problem of another policy's pods", false, with(func(r *policy.Report) {
		r.Problems = []policy.CaptureProblem{{Pod: "x", Policies: []policy.ID{policy.ParseID("shop/elsewhere")}}}
	}))
	wantMarked("a breaker opens again", true, report(0, breakers(1, 0, 1)))
	s.markPoliciesChanged("n1", s.traffic.streamEnded(agentOf("n1"), time.Now()))
	if got := s.changed.take(); !slices.Contains(got, "p") {
		t.Errorf("the agent leaves with an open breaker: announced %v", got)
	}
}

// A policy's figures must not cost more the more agents there are that have nothing to say of it.
func BenchmarkFiguresOfAPolicyBesideManyAgents(b *testing.B) {
	s := NewStore(StoreOptions{})
	var batch Batch
	batch.SetProfile(profileOf("p", 1, "shop/cart"))
	batch.SetWorkload("n1", pod("a", "p"))
	if err := s.Publish(&batch); err != nil {
		b.Fatal(err)
	}
	for i := range 5000 {
		s.traffic.streamStarted(agentID{node: "n1", agent: string(rune('a' + i))})
	}
	for b.Loop() {
		s.Traffic(payments)
	}
}
