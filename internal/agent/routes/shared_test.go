package routes

import (
	"math"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// sharing has a rate limit of 100 calls a second that the cluster shares.
func sharing(key, name string) policy.Binding {
	b := binding(key, policy.Target{Kind: policy.TargetService, Service: "ns/shop"})
	b.Base.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 50, Scope: policy.ShareCluster, Shared: name}
	return b
}

// twoProfiles has pod a governed by one binding and pod b by another.
func twoProfiles(a, b policy.Binding) *policy.Snapshot {
	s := snapshot(a)
	s.Profiles["q"] = &policy.Profile{Name: "q", Bindings: []policy.Binding{b}}
	s.Workloads["b"] = &policy.Workload{UID: "b", Profile: "q"}
	return s
}

func wantShare(t *testing.T, s *Table, want policy.Share, granted bool) {
	t.Helper()
	got := s.Shares()
	if len(got) != 1 || math.Abs(got[0].Rate-want.Rate) > 1e-9 || math.Abs(got[0].Burst-want.Burst) > 1e-9 || got[0].Granted != granted {
		t.Errorf("shares %+v, want %+v, granted %v", got, want, granted)
	}
}

// All bindings of a node that have the limit of one name have one share of it.
func TestASharedLimitIsOneForAllBindings(t *testing.T) {
	s := newTable(t)
	install(t, s, twoProfiles(sharing("k", "ns/quota"), sharing("l", "ns/quota")))
	if ok, _ := limitsTo(t, s, "a").passes(); !ok {
		t.Fatal("the first call does not pass")
	}
	if ok, _ := limitsTo(t, s, "b").passes(); ok {
		t.Error("another binding's first call passes, for which there is no token")
	}
	wantShare(t, s, policy.Share{Rate: 1, Burst: 1}, false)
	list, shared := s.Demands(time.Now())
	if !shared || len(list) != 1 || list[0].Name != (policy.LimitName{Limit: "ns/quota", Destination: "ns/shop:80"}) || list[0].Rate <= 0 || list[0].Granted {
		t.Errorf("demands %+v", list)
	}
	if list, _ = s.Demands(time.Now().Add(time.Second)); len(list) != 1 || list[0].Rate != 0 {
		t.Errorf("demands %+v, want none since", list)
	}
	select {
	case <-s.SharedLimits():
	default:
		t.Error("nothing says that there is a limit")
	}
}

// Whether calls wait for a limit is what their own policies say, whatever those say that others share it under, and whoever came first.
func TestWhoWaitsForASharedLimit(t *testing.T) {
	waits := func(s *Table, pod string) bool {
		g, w := limitsTo(t, s, pod).Gates[0], &resilience.Waiter{}
		defer g.Leave(time.Now(), w, resilience.Result{})
		return g.Enter(time.Now(), w).Verdict == resilience.Park
	}
	for _, first := range []string{"a", "b"} {
		s := newTable(t)
		rejected, queued := sharing("k", "ns/quota"), sharing("l", "ns/quota")
		queued.Base.RateLimit.MaxWait = time.Hour
		install(t, s, twoProfiles(rejected, queued))
		if ok, _ := limitsTo(t, s, first).passes(); !ok {
			t.Fatal("the first call does not pass")
		}
		for range 3 {
			if waits(s, "a") || !waits(s, "b") {
				t.Fatalf("%s came first: a call waits that must not, or the other way around", first)
			}
		}
		both := sharing("k", "ns/quota")
		both.Base.RateLimit.MaxWait = time.Hour
		install(t, s, twoProfiles(both, queued))
		if !waits(s, "a") || !waits(s, "b") {
			t.Errorf("%s came first: a call does not wait after the edit", first)
		}
	}
}

// Calls that wait are demand, and use of the share. They wait for a first share that is on its way, however small the one is that they have until then.
func TestCallsThatWaitForASharedLimitAreDemand(t *testing.T) {
	s := newTable(t)
	b := sharing("k", "ns/quota")
	b.Base.RateLimit.MaxWait = 500 * time.Millisecond
	install(t, s, snapshot(b))
	plan := limitsTo(t, s, "a")
	plan.passes()
	now := time.Now()
	s.Demands(now)
	for range 3 {
		if e := plan.Gates[0].Enter(now, &resilience.Waiter{}); e.Verdict != resilience.Park {
			t.Fatalf("%+v: a share is on its way", e)
		}
	}
	s.Demands(now.Add(time.Second)) // in which they came
	later := now.Add(2 * shareKept)
	if list, _ := s.Demands(later); len(list) != 1 || list[0].Rate != 3 || list[0].Idle != 0 {
		t.Errorf("demands %+v, want that of the three that wait", list)
	}
	s.SetShare(policy.LimitName{Limit: "ns/quota", Destination: "ns/shop:80"}, policy.Share{Rate: 0.01, Burst: 1})
	if e := plan.Gates[0].Enter(now, &resilience.Waiter{}); e.Verdict != resilience.Refuse {
		t.Errorf("%+v: the share is too small to wait for", e)
	}
}

func TestADifferentNameIsAnotherLimit(t *testing.T) {
	s := newTable(t)
	install(t, s, twoProfiles(sharing("k", "ns/quota"), sharing("l", "ns/other")))
	for _, pod := range []string{"a", "b"} {
		if ok, _ := limitsTo(t, s, pod).passes(); !ok {
			t.Errorf("the first call of pod %s does not pass", pod)
		}
	}
}

func TestAShareIsKeptAsLongAsItIsOfUse(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(sharing("k", "ns/quota")))
	plan := limitsTo(t, s, "a")
	plan.passes()
	now := time.Now()
	list, _ := s.Demands(now)
	s.SetShare(list[0].Name, policy.Share{Rate: 40, Burst: 20})
	s.SetShare(policy.LimitName{Limit: "unknown"}, policy.Share{Rate: 40, Burst: 20})
	wantShare(t, s, policy.Share{Rate: 40, Burst: 20}, true)

	w := &resilience.Waiter{} // a call comes later
	plan.Gates[0].Enter(now.Add(shareKept/2), w)
	if list, _ := s.Demands(now.Add(shareKept / 2)); len(list) != 1 || list[0].Idle != 0 {
		t.Errorf("demands %+v", list)
	}
	if list, _ := s.Demands(now.Add(shareKept)); len(list) != 1 || list[0].Idle != shareKept/2 || !list[0].Granted {
		t.Errorf("demands %+v", list)
	}
	if list, shared := s.Demands(now.Add(2 * shareKept)); len(list) != 0 || !shared {
		t.Errorf("demands %+v, want the share to be given up", list)
	}
	wantShare(t, s, policy.Share{Rate: 1, Burst: 1}, false)
	if s.states.all["k"] == nil {
		t.Fatal("the state is gone")
	}
	install(t, s, snapshot())
	if _, shared := s.Demands(now.Add(4 * shareKept)); shared {
		t.Error("a limit is kept that nobody uses")
	}
}

func TestAnEditOfASharedLimitMakesTheShareSmallerAtOnce(t *testing.T) {
	s := newTable(t)
	b := sharing("k", "ns/quota")
	edit := func(requests, burst int) {
		l := *b.Base.RateLimit
		l.Requests, l.Burst = requests, burst
		b.Base.RateLimit = &l
		install(t, s, snapshot(b))
	}
	install(t, s, snapshot(b))
	limitsTo(t, s, "a").passes()
	edit(200, 50)
	wantShare(t, s, policy.Share{Rate: 2, Burst: 1}, false)
	edit(100, 50)
	s.SetShare(policy.LimitName{Limit: "ns/quota", Destination: "ns/shop:80"}, policy.Share{Rate: 40, Burst: 20})
	edit(50, 100)
	wantShare(t, s, policy.Share{Rate: 20, Burst: 20}, true)
	edit(500, 100)
	wantShare(t, s, policy.Share{Rate: 20, Burst: 20}, true)
}

// A policy that comes to say another scope has another limit.
func TestAnotherScopeIsAnotherLimit(t *testing.T) {
	s := newTable(t)
	b := sharing("k", "ns/quota")
	own := *b.Base.RateLimit
	own.Scope, own.Shared, own.Burst = policy.ShareNode, "", 2
	shared := b.Base.RateLimit
	b.Base.RateLimit = &own
	install(t, s, snapshot(b))
	limitsTo(t, s, "a").passes()
	if len(s.Shares()) != 0 {
		t.Errorf("shares %+v of a node's limit", s.Shares())
	}
	b.Base.RateLimit = shared
	install(t, s, snapshot(b))
	limitsTo(t, s, "a").passes()
	wantShare(t, s, policy.Share{Rate: 1, Burst: 1}, false)
	b.Base.RateLimit = &own
	install(t, s, snapshot(b))
	for i := range 3 {
		if ok, _ := limitsTo(t, s, "a").passes(); ok != (i < 2) {
			t.Errorf("call %d of the node's own limit passes: %v", i, ok)
		}
	}
}
