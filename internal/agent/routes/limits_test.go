package routes

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// withLimits has a rate limit of two calls an hour and lets one run at a time.
func withLimits(scope policy.Sharing) policy.Binding {
	b := binding("k", policy.Target{Kind: policy.TargetService, Service: "ns/shop"})
	b.Base.RateLimit = &policy.RateLimit{Requests: 1, Per: time.Hour, Burst: 2, Scope: scope}
	b.Base.Concurrency = &policy.Concurrency{Max: 1, Scope: scope}
	return b
}

// passes reports whether a call passes the gates of a plan, and which one it does not; it stays behind them.
func (p *Plan) passes() (ok bool, at Detail) {
	for i, g := range p.Gates {
		if e := g.Enter(time.Now(), &resilience.Waiter{}); e.Verdict != resilience.Pass {
			return false, p.gateNames[i]
		}
	}
	return true, NoDetail
}

func limitsTo(t *testing.T, s *Table, pod string) *Plan {
	t.Helper()
	return routeTo(t, s, pod, "10.96.0.7:80").Plan([]byte("GET"), nil)
}

func TestRule24_LimitsAreSharedAsThePolicySays(t *testing.T) {
	for scope, together := range map[policy.Sharing]bool{policy.ShareNode: true, policy.SharePod: false} {
		s := newTable(t)
		install(t, s, snapshot(withLimits(scope)))
		if ok, at := limitsTo(t, s, "a").passes(); !ok {
			t.Fatalf("the first call is stopped by %s", at)
		}
		if ok, at := limitsTo(t, s, "b").passes(); ok == together || together && at != DetailConcurrency {
			t.Errorf("scope %v: the other pod's call passes: %v, stopped by %q", scope, ok, at)
		}
		if ok, _ := limitsTo(t, s, "a").passes(); ok {
			t.Errorf("scope %v: the pod's second call passes", scope)
		}
	}
}

// An edit that does not touch a limit keeps what has been taken of it, and one that does, too: it is no way to have more calls start.
func TestRule24_LimitsSurviveEdits(t *testing.T) {
	s, b := newTable(t), withLimits(policy.ShareNode)
	b.Base.Concurrency = nil
	install(t, s, snapshot(b))
	for range 2 {
		if ok, _ := limitsTo(t, s, "a").passes(); !ok {
			t.Fatal("the burst does not pass")
		}
	}
	b.Base.Timeouts.PerTry = time.Second
	same := *b.Base.RateLimit
	b.Base.RateLimit = &same
	install(t, s, snapshot(b))
	if ok, _ := limitsTo(t, s, "a").passes(); ok {
		t.Error("an edit of something else has filled the bucket")
	}
	other := policy.RateLimit{Requests: 1, Per: 2 * time.Hour, Burst: 2, Scope: policy.ShareNode}
	b.Base.RateLimit = &other
	install(t, s, snapshot(b))
	if ok, _ := limitsTo(t, s, "a").passes(); ok {
		t.Error("an edit of the rate has filled the bucket")
	}
	other.Burst = 5
	larger := other
	b.Base.RateLimit = &larger
	install(t, s, snapshot(b))
	for i := range 4 {
		if ok, _ := limitsTo(t, s, "a").passes(); ok != (i < 3) {
			t.Errorf("call %d behind a larger burst passes: %v", i, ok)
		}
	}
	b.Base.RateLimit = nil
	install(t, s, snapshot(b))
	if p := limitsTo(t, s, "a"); len(p.Gates) != 0 {
		t.Errorf("%d gates are left", len(p.Gates))
	}
	for _, st := range s.states.all["k"] {
		if l := &st.limits; len(l.rates.all)+len(l.concurrencies.all)+len(l.rates.gates)+len(l.concurrencies.gates) != 0 {
			t.Errorf("%+v is left", l)
		}
	}
}

func TestRulesKeepTheirOwnLimits(t *testing.T) {
	b := withLimits(policy.ShareNode)
	own := b.Base
	rate, places := *b.Base.RateLimit, *b.Base.Concurrency
	own.RateLimit, own.Concurrency = &rate, &places
	b.Rules = []policy.Rule{
		{Name: "own", Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: own, OwnRateLimit: true, OwnConcurrency: true},
		{Name: "shared", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: b.Base},
	}
	s := newTable(t)
	install(t, s, snapshot(b))
	l := routeTo(t, s, "a", "10.96.0.7:80")
	for _, tc := range []struct {
		method string
		passes bool
	}{{"GET", true}, {"POST", true}, {"PUT", false}, {"POST", false}} {
		if ok, _ := l.Plan([]byte(tc.method), nil).passes(); ok != tc.passes {
			t.Errorf("%s passes: %v", tc.method, ok)
		}
	}
}

// What a pod does not share ends with it.
func TestAPodsOwnLimitsEndWithIt(t *testing.T) {
	s, b := newTable(t), withLimits(policy.SharePod)
	install(t, s, snapshot(b))
	limitsTo(t, s, "a").passes()
	limitsTo(t, s, "b").passes()
	without := snapshot(b)
	delete(without.Workloads, "a")
	install(t, s, without)
	for _, st := range s.states.all["k"] {
		if l := &st.limits; len(l.rates.all) != 1 || len(l.concurrencies.all) != 1 || len(l.rates.gates) != 1 || len(l.concurrencies.gates) != 1 {
			t.Errorf("%+v is kept", l)
		}
	}
}

// A connection that is passed through is a call of which only the start can be limited; it counts with the others.
func TestConnectionsThatArePassedThroughStartAsCallsDo(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withLimits(policy.ShareNode)))
	r := routeTo(t, s, "a", "10.96.0.7:80")
	if ok, _ := r.Plan(nil, nil).passes(); !ok {
		t.Fatal("the first call does not pass")
	}
	for i := range 2 {
		if ok, at := r.OpaquePlan().passes(); ok != (i == 0) || !ok && at != DetailRateLimit {
			t.Errorf("connection %d passes: %v, stopped by %q", i, ok, at)
		}
	}
}
