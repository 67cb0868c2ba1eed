package routes

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// anywhere is a binding whose destinations come from traffic, with a breaker that opens at the first failure.
func anywhere() policy.Binding {
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	br := policy.DefaultBreaker()
	br.ConsecutiveFailures = 1
	b.Base.Breaker = &br
	return b
}

func pools(s *Table) (n map[string]int) {
	n = map[string]int{}
	s.pools.Each(func(k upstream.Key, _ upstream.Stats) { n[k.Pod]++ })
	return n
}

// However many addresses go by, what is in use between any two of them stays, in whichever way it is used.
func TestADestinationInUseIsNotForgotten(t *testing.T) {
	const hot = "192.0.2.1:1"
	for name, use := range map[string]func(*Table, *Route){
		"resolved":         func(s *Table, l *Route) { routeTo(t, s, "a", hot) },
		"kept by a client": func(_ *Table, l *Route) { l.Plan(nil, nil) },
	} {
		for _, scanner := range []string{"a", "b"} {
			t.Run(name+", scanned by "+scanner, func(t *testing.T) {
				s := newTable(t) // keeps 8
				install(t, s, snapshot(anywhere()))
				l := routeTo(t, s, "a", hot)
				trip(t, l)
				for i := range 100 {
					use(s, l)
					routeTo(t, s, scanner, fmt.Sprintf("192.0.2.9:%d", i+1))
				}
				if l.Stale() {
					t.Fatal("it was forgotten")
				}
				if again := routeTo(t, s, "a", hot); again != l || stateOf(again) != resilience.Open {
					t.Errorf("its breaker is %v", stateOf(again))
				}
				if n := pools(s); n["a"]+n["b"] != 8 {
					t.Errorf("pools: %v", n)
				}
			})
		}
	}
}

// A pod that goes through many addresses forgets its own ones, and leaves alone even what another pod does not use at the moment.
func TestAScanCostsTheScannerOnly(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(anywhere()))
	var others []*Route
	for i := range 3 {
		others = append(others, routeTo(t, s, "a", fmt.Sprintf("192.0.2.1:%d", i+1)))
	}
	trip(t, others[0])
	routeTo(t, s, "b", "192.0.2.1:1") // is the scanner's too, and will be forgotten for it
	for i := range 100 {
		routeTo(t, s, "b", fmt.Sprintf("192.0.2.9:%d", i+1))
	}
	for i, l := range others {
		if l.Stale() {
			t.Errorf("destination %d of the other pod was forgotten", i)
		}
	}
	if n := pools(s); n["a"] != 3 || n["b"] != 5 {
		t.Errorf("pools: %v", n)
	}
	if l := routeTo(t, s, "b", "192.0.2.1:1"); stateOf(l) != resilience.Open {
		t.Error("a breaker that another pod shares was forgotten")
	}
	// The other pod may have its share when it wants it.
	for i := range 100 {
		routeTo(t, s, "a", fmt.Sprintf("192.0.2.7:%d", i+1))
	}
	if n := pools(s); n["a"] != 4 || n["b"] != 4 {
		t.Errorf("pools: %v", n)
	}
}

// The pod that takes an ended one's place finds the breakers that they would have shared.
func TestStateOutlivesThePodThatMadeIt(t *testing.T) {
	s := newTable(t)
	snap := snapshot(anywhere())
	install(t, s, snap)
	trip(t, routeTo(t, s, "a", "192.0.2.1:1"))
	next := *snap
	next.Workloads = map[string]*policy.Workload{"b": snap.Workloads["b"]}
	install(t, s, &next)
	if n := pools(s); len(n) != 0 {
		t.Errorf("pools: %v", n)
	}
	if l := routeTo(t, s, "b", "192.0.2.1:1"); stateOf(l) != resilience.Open {
		t.Error("the breaker is forgotten")
	}
	// But what nobody uses goes first.
	next.Workloads = snap.Workloads
	install(t, s, &next)
	for i := range 8 {
		routeTo(t, s, "a", fmt.Sprintf("192.0.2.9:%d", i+1))
	}
	next.Workloads = map[string]*policy.Workload{"b": snap.Workloads["b"]}
	install(t, s, &next)
	for i := range 7 {
		routeTo(t, s, "b", fmt.Sprintf("192.0.2.8:%d", i+1))
	}
	if l := routeTo(t, s, "b", "192.0.2.1:1"); stateOf(l) != resilience.Open {
		t.Error("the breaker of a destination in use is forgotten for others that nobody uses")
	}
	if n := len(s.states.all["k"]); n != 8 {
		t.Errorf("%d destinations are kept, want 8", n)
	}
}

func TestAPodsOwnBreakersEndWithIt(t *testing.T) {
	b := anywhere()
	b.Base.Breaker.Sharing = policy.SharePod
	s := newTable(t)
	snap := snapshot(b)
	install(t, s, snap)
	routeTo(t, s, "a", "192.0.2.1:1")
	trip(t, routeTo(t, s, "b", "192.0.2.1:1"))
	breakers := func() int { return len(s.states.all["k"][stateKey{binding: "k", destination: "192.0.2.1:1"}].breakers) }
	if breakers() != 2 {
		t.Fatalf("%d breakers", breakers())
	}
	for i := range 100 {
		routeTo(t, s, "b", fmt.Sprintf("192.0.2.9:%d", i+1))
	}
	if breakers() != 1 {
		t.Errorf("%d breakers, one of them of a pod that has forgotten the destination", breakers())
	}
	routeTo(t, s, "b", "192.0.2.1:1")
	next := *snap
	next.Workloads = map[string]*policy.Workload{"a": snap.Workloads["a"]}
	install(t, s, &next)
	if breakers() != 1 {
		t.Errorf("%d breakers, one of them of a pod that is no more", breakers())
	}
}

// The breaker of an address that is no more does not show as open for ever.
func TestABreakerThatNobodyAsksIsNotOpen(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(anywhere()))
	trip(t, routeTo(t, s, "a", "192.0.2.1:1"))
	now := time.Now()
	for _, tc := range []struct {
		after          time.Duration
		open, halfOpen int
	}{
		{0, 1, 0},
		{13 * time.Second, 1, 1}, // 10 s and up to 2 s of jitter
		{30 * time.Second, 0, 0},
		{24 * time.Hour, 0, 0},
	} {
		var got Stats
		s.Stats(now.Add(tc.after), func(v Stats) { got = v })
		if got.BreakersOpen != tc.open || got.BreakersHalfOpen != tc.halfOpen {
			t.Errorf("after %v: %d open, %d of them half-open", tc.after, got.BreakersOpen, got.BreakersHalfOpen)
		}
	}
}

func BenchmarkResolveInAScan(b *testing.B) {
	s := newTable(b)
	s.maxDynamic = MaxDynamicDestinations
	install(b, s, snapshot(anywhere()))
	table := s.PodRoutes("a")
	c := table.Candidates(addr("192.0.2.1:1"))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := table.Route(&c[0], nil, addr(fmt.Sprintf("192.0.%d.%d:%d", i>>8&255, i&255, 1+i>>16))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	s := newTable(b)
	install(b, s, snapshot(anywhere()))
	l := routeTo(b, s, "a", "192.0.2.1:1")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.Stale() || l.Plan(nil, nil) == nil {
				b.Error("stale")
			}
		}
	})
}
