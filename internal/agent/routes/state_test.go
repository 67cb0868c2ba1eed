package routes

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule22_BreakersSurviveEditsThatDoNotTouchThem(t *testing.T) {
	s := newTable(t)
	b := withBreaker(policy.ShareNode)
	install(t, s, snapshot(b))
	trip(t, routeTo(t, s, "a", "10.96.0.7:80"))
	pool := routeTo(t, s, "a", "10.96.0.7:80").Pool

	b.Base.Timeouts.PerTry = time.Second
	other := *b.Base.Breaker
	b.Base.Breaker = &other
	install(t, s, snapshot(b))
	l := routeTo(t, s, "a", "10.96.0.7:80")
	if stateOf(l) != resilience.Open {
		t.Error("the breaker forgot that it was open")
	}
	if l.Pool != pool {
		t.Error("the pool was thrown away")
	}
	if l.Plan(nil, nil).Settings.Timeouts.PerTry != time.Second {
		t.Error("the edit is not in force")
	}
	if stateOf(routeTo(t, s, "a", "10.96.0.7:81")) != resilience.Closed {
		t.Error("another port's breaker opened")
	}

	changed := *b.Base.Breaker
	changed.ConsecutiveFailures = 7
	b.Base.Breaker = &changed
	install(t, s, snapshot(b))
	if stateOf(routeTo(t, s, "a", "10.96.0.7:80")) != resilience.Closed {
		t.Error("an edited breaker starts closed")
	}
}

func TestBreakersAreSharedAsThePolicySays(t *testing.T) {
	for sharing, want := range map[policy.Sharing]resilience.State{policy.ShareNode: resilience.Open, policy.SharePod: resilience.Closed} {
		s := newTable(t)
		install(t, s, snapshot(withBreaker(sharing)))
		trip(t, routeTo(t, s, "a", "10.96.0.7:80"))
		if got := stateOf(routeTo(t, s, "b", "10.96.0.7:80")); got != want {
			t.Errorf("sharing %d: the other pod's breaker is %v, want %v", sharing, got, want)
		}
		if routeTo(t, s, "a", "10.96.0.7:80").Pool == routeTo(t, s, "b", "10.96.0.7:80").Pool {
			t.Error("pods share a pool")
		}
	}
}

func TestRulesKeepTheirOwnState(t *testing.T) {
	b := withBreaker(policy.ShareNode)
	own := b.Base
	br := *b.Base.Breaker
	own.Breaker = &br
	b.Rules = []policy.Rule{
		{Name: "own", Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: own, OwnBreaker: true, OwnBudget: true},
		{Name: "shared", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: b.Base},
	}
	s := newTable(t)
	install(t, s, snapshot(b))
	l := routeTo(t, s, "a", "10.96.0.7:80")
	base, post, put := l.Plan([]byte("GET"), nil), l.Plan([]byte("POST"), nil), l.Plan([]byte("PUT"), nil)
	if base.Breaker == post.Breaker || base.Budget == post.Budget {
		t.Error("a rule with its own blocks shares state")
	}
	if base.Breaker != put.Breaker || base.Budget != put.Budget {
		t.Error("a rule without its own blocks does not share state")
	}
}

func TestRule34_NothingIsLeftOfWhatIsRemoved(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withBreaker(policy.ShareNode)))
	old := routeTo(t, s, "a", "10.96.0.7:80")
	routeTo(t, s, "b", "10.96.0.7:80")
	next := snapshot(withBreaker(policy.ShareNode))
	delete(next.Workloads, "a")
	install(t, s, next)
	pools := 0
	s.pools.Each(func(k upstream.Key, _ upstream.Stats) {
		if pools++; k.Pod == "a" {
			t.Error("the removed pod's pool is left")
		}
	})
	if pools != 1 {
		t.Errorf("%d pools", pools)
	}
	install(t, s, &policy.Snapshot{})
	s.pools.Each(func(upstream.Key, upstream.Stats) { t.Error("a pool is left") })
	if len(s.states.all) != 0 {
		t.Error("state is left")
	}
	if old.Plan(nil, nil).Settings == nil || !old.Stale() {
		t.Error("a call under way lost its plan")
	}
}

func TestARouteOfAReplacedVersionDisturbsNobody(t *testing.T) {
	s := newTable(t)
	b := withBreaker(policy.ShareNode)
	install(t, s, snapshot(b))
	old := s.PodRoutes("a")
	changed := *b.Base.Breaker
	changed.ConsecutiveFailures = 5
	b.Base.Breaker = &changed
	install(t, s, snapshot(b))
	c := old.Candidates(addr("10.96.0.7:80"))
	l, err := old.Route(&c[0], nil, addr("10.96.0.7:80"))
	if err != nil {
		t.Fatal(err)
	}
	trip(t, l)
	if stateOf(routeTo(t, s, "a", "10.96.0.7:80")) != resilience.Closed {
		t.Error("an old version opened the breaker of the new one")
	}
}

func TestStats(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withBreaker(policy.ShareNode)))
	trip(t, routeTo(t, s, "a", "10.96.0.7:80"))
	var got []Stats
	s.Stats(time.Now(), func(v Stats) { got = append(got, v) })
	if len(got) != 1 || got[0].BreakersOpen != 1 || got[0].Target != "service ns/shop" || got[0].Destination != "ns/shop:80" {
		t.Errorf("got %+v", got)
	}
}
