package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// divided is a snapshot of two pods whose profiles share a binding, of which each has a version of its own.
func divided(p, q policy.Binding) *policy.Snapshot {
	return &policy.Snapshot{
		Workloads: map[string]*policy.Workload{"a": {UID: "a", Profile: "p"}, "b": {UID: "b", Profile: "q"}},
		Profiles: map[string]*policy.Profile{
			"p": {Name: "p", Bindings: []policy.Binding{p}},
			"q": {Name: "q", Bindings: []policy.Binding{q, binding("other", policy.Target{Kind: policy.TargetAny})}},
		},
		Destinations: map[string]*policy.Destination{"ns/shop": shop()},
	}
}

func opensAfter(failures int) policy.Binding {
	b := withBreaker(policy.ShareNode)
	b.Base.Breaker.ConsecutiveFailures = failures
	return b
}

// failuresToOpen counts how many failures it takes.
func failuresToOpen(t *testing.T, l *Route) (n int) {
	t.Helper()
	for stateOf(l) != resilience.Open {
		if n++; n > 10 {
			t.Fatal("it does not open")
		}
		trip(t, l)
	}
	return n
}

// A profile that could not be renewed still has the version before of a binding that others share. An install that changes nothing
// resets nothing then, and the newest version governs.
func TestRule22_TheNewestVersionGovernsASharedBreaker(t *testing.T) {
	for refused, pods := range map[string][2]string{"p": {"a", "b"}, "q": {"b", "a"}} {
		for range 20 { // whatever order maps are walked in
			s := newTable(t)
			before := divided(opensAfter(1), opensAfter(1))
			install(t, s, before)
			next := divided(opensAfter(3), opensAfter(3))
			next.Profiles[refused] = before.Profiles[refused]
			next.Destinations = before.Destinations
			install(t, s, next)
			l := routeTo(t, s, pods[0], "10.96.0.7:80")
			if n := failuresToOpen(t, l); n != 3 {
				t.Fatalf("%s refused: it opened after %d failures, want what the newest version says", refused, n)
			}
			for i := range 10 { // the same again, and then with other endpoints, which does not concern the profiles
				if i == 5 {
					next.Destinations = map[string]*policy.Destination{"ns/shop": shop()}
				}
				install(t, s, next)
				if stateOf(l) != resilience.Open || stateOf(routeTo(t, s, pods[1], "10.96.0.7:80")) != resilience.Open {
					t.Fatalf("%s refused: install %d closed it", refused, i)
				}
			}
		}
	}
}

// A restarted agent installs everything at once, a version that it had refused to renew included.
func TestRule22_TheNewestVersionGovernsAfterARestart(t *testing.T) {
	for newer, older := range map[string]string{"p": "q", "q": "p"} {
		s := newTable(t)
		snap := divided(opensAfter(1), opensAfter(1))
		snap.Profiles[newer].Bindings[0] = opensAfter(3)
		snap.Profiles[newer].Generation, snap.Profiles[older].Generation = 8, 7
		install(t, s, snap)
		if n := failuresToOpen(t, routeTo(t, s, "a", "10.96.0.7:80")); n != 3 {
			t.Errorf("%s newer: it opened after %d failures, want what the newest version says", newer, n)
		}
	}
}

// Versions that arrive together have an order too.
func TestRule22_VersionsThatArriveTogetherDoNotTakeTurns(t *testing.T) {
	for range 20 {
		s := newTable(t)
		snap := divided(opensAfter(2), opensAfter(1))
		install(t, s, snap)
		l := routeTo(t, s, "a", "10.96.0.7:80")
		if n := failuresToOpen(t, l); n != 2 {
			t.Fatalf("it opened after %d failures", n)
		}
		for range 10 {
			install(t, s, snap)
			if stateOf(l) != resilience.Open {
				t.Fatal("an install that changes nothing closed it")
			}
		}
	}
}

func TestAnInstallThatChangesNothingTouchesNothing(t *testing.T) {
	s := newTable(t)
	snap := snapshot(withBreaker(policy.ShareNode))
	install(t, s, snap)
	l := routeTo(t, s, "a", "10.96.0.7:80")
	install(t, s, snap)
	if routeTo(t, s, "a", "10.96.0.7:80") != l || l.Stale() {
		t.Error("the route was replaced")
	}
	// Every profile arrives anew, equal to the one before: pools, breakers and budgets stay.
	install(t, s, snapshot(withBreaker(policy.ShareNode)))
	again := routeTo(t, s, "a", "10.96.0.7:80")
	if again.Pool != l.Pool || again.Plan(nil, nil).Breaker != l.Plan(nil, nil).Breaker || again.Plan(nil, nil).Budget != l.Plan(nil, nil).Budget {
		t.Error("something was replaced")
	}
}

// Rules come and go, and what they kept goes with them.
func TestRule34_WhatARuleKeptGoesWithIt(t *testing.T) {
	with := func(names ...string) policy.Binding {
		b := withBreaker(policy.ShareNode)
		for _, name := range names {
			own := b.Base
			br := *b.Base.Breaker
			own.Breaker = &br
			b.Rules = append(b.Rules, policy.Rule{
				Name: name, Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: own, OwnBreaker: true, OwnBudget: true,
			})
		}
		return b
	}
	s := newTable(t)
	kept := func() (breakers, budgets []string) {
		routeTo(t, s, "a", "10.96.0.7:80")
		for _, st := range s.states.all["k"] {
			for k := range st.breakers {
				breakers = append(breakers, k.rule)
			}
			for k := range st.budgets {
				budgets = append(budgets, k.rule)
			}
		}
		slices.Sort(breakers)
		slices.Sort(budgets)
		return breakers, budgets
	}
	shared := with("x")
	shared.Rules[0].OwnBreaker, shared.Rules[0].OwnBudget = false, false
	without := with("x")
	without.Base.Breaker, without.Rules[0].Settings.Breaker = nil, nil
	for _, tc := range []struct {
		binding           policy.Binding
		breakers, budgets []string
	}{
		{with("x", "y"), []string{"", "x", "y"}, []string{"", "x", "y"}},
		{with("z", "x"), []string{"", "x", "z"}, []string{"", "x", "z"}}, // renamed
		{with("x"), []string{"", "x"}, []string{"", "x"}},                // removed
		{shared, []string{""}, []string{""}},
		{without, nil, []string{"", "x"}},
	} {
		install(t, s, snapshot(tc.binding))
		breakers, budgets := kept()
		if !slices.Equal(breakers, tc.breakers) || !slices.Equal(budgets, tc.budgets) {
			t.Errorf("breakers %q, budgets %q, want %q and %q", breakers, budgets, tc.breakers, tc.budgets)
		}
	}
}

// Calls go on resolving while versions follow each other. In the end every pool goes by the version in force.
func TestRule33_PoolsFollowTheVersionWhateverIsResolvedMeanwhile(t *testing.T) {
	s := newTable(t)
	version := func(i int) *policy.Snapshot {
		snap := snapshot(withBreaker(policy.ShareNode), anywhere())
		snap.Profiles["p"].Bindings[1].Key = "any"
		for j := range snap.Profiles["p"].Bindings {
			snap.Profiles["p"].Bindings[j].Base.Pool.MaxConnections = i
		}
		if i%3 == 0 {
			snap.Profiles["p"].Bindings = snap.Profiles["p"].Bindings[1:]
		}
		if i%5 == 0 {
			delete(snap.Workloads, "b")
		}
		return snap
	}
	install(t, s, version(1))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, pod := range []string{"a", "b"} {
		for g := range 2 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					for _, original := range []string{"10.96.0.7:80", fmt.Sprintf("192.0.2.%d:%d", g, 1+i%20)} {
						table := s.PodRoutes(pod)
						if table == nil {
							continue
						}
						c := table.Candidates(addr(original))
						l, err := table.Route(&c[0], nil, addr(original))
						if err != nil || l.Plan(nil, nil) == nil {
							t.Error(err)
							return
						}
					}
					s.Stats(time.Now(), func(Stats) {})
				}
			})
		}
	}
	for i := range 200 {
		install(t, s, version(i))
	}
	close(done)
	wg.Wait()
	for pod, entries := range s.entries.pods {
		table := s.PodRoutes(pod)
		for k, e := range entries.all {
			if table == nil || e.binding != table.profile.byKey[k.binding] || e.forgotten.Load() {
				t.Errorf("pod %s, %v: left behind", pod, k)
			}
		}
	}
	install(t, s, &policy.Snapshot{})
	if len(s.entries.pods)+len(s.states.all)+s.states.unused.Len()+s.entries.dynamic != 0 || len(pools(s)) != 0 {
		t.Error("something is left")
	}
}

// What is resolved for the version before, while the next one is about to take its place, goes by the next one too.
func TestRule33_NothingFallsBetweenTwoVersions(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withBreaker(policy.ShareNode), binding("going", policy.Target{Kind: policy.TargetAny})))
	other := shop()
	other.Ports[0].Endpoints = other.Ports[0].Endpoints[:1]
	next := &installation{Snapshot: snapshot(withBreaker(policy.ShareNode))}
	next.Destinations["ns/shop"] = other

	s.installing.Lock()
	profiles, _ := s.compile(next)
	old := s.current.Load()
	v := s.compose(next, profiles, old)
	s.startLate()
	s.updateClusters("k", byKey(rank(v.tables))["k"])
	unused := s.prepare(old, v)
	kept, gone := routeTo(t, s, "a", "10.96.0.7:80"), routeTo(t, s, "a", "192.0.2.1:1")
	bindings := byKey(rank(v.tables))
	unused = append(unused, s.publish(v, bindings)...)
	s.free(unused, bindings)
	s.installing.Unlock()

	if !gone.Stale() || pools(s)["a"] != 1 {
		t.Error("what the next version has no use for is left")
	}
	if again := routeTo(t, s, "a", "10.96.0.7:80"); again.Pool != kept.Pool {
		t.Error("the pool was replaced")
	}
	for range 50 {
		if at := chosen(t, kept); at != addr("10.1.0.1:8080") {
			t.Fatalf("a call went to %v, which is no endpoint any more", at)
		}
	}
}

// BenchmarkInstall is what it costs that one of many Services changes, or nothing at all, while pods have pools of all of them.
func BenchmarkInstall(b *testing.B) {
	const pods, services, endpoints = 100, 20, 100
	snap := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{}, Profiles: map[string]*policy.Profile{}, Destinations: map[string]*policy.Destination{},
	}
	service := func(i int) *policy.Destination {
		d := &policy.Destination{Name: fmt.Sprint("ns/", i), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, byte(i)})}}
		var all []netip.AddrPort
		for e := range endpoints {
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), byte(e)}), 8080))
		}
		d.Ports = []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(all...)}}
		return d
	}
	p := &policy.Profile{Name: "p"}
	for i := range services {
		d := service(i)
		snap.Destinations[d.Name] = d
		p.Bindings = append(p.Bindings, binding(d.Name, policy.Target{Kind: policy.TargetService, Service: d.Name}))
	}
	snap.Profiles["p"] = p
	for i := range pods {
		uid := fmt.Sprint("pod", i)
		snap.Workloads[uid] = &policy.Workload{UID: uid, Profile: "p"}
	}
	for name, change := range map[string]func(i int){
		"nothing": func(int) {},
		"one service": func(i int) {
			d := service(0)
			d.Ports[0].Endpoints = d.Ports[0].Endpoints[i%2:]
			snap.Destinations[d.Name] = d
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := newTable(b)
			install(b, s, snap)
			for uid := range snap.Workloads {
				for i := range services {
					routeTo(b, s, uid, fmt.Sprintf("10.96.0.%d:80", i))
				}
			}
			for i := 0; b.Loop(); i++ {
				change(i)
				install(b, s, snap)
			}
		})
	}
}
