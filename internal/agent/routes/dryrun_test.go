package routes

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// dry makes a binding one of a dry run.
func dry(b policy.Binding) policy.Binding {
	b.Mode, b.Policy.Name = policy.ModeDryRun, "dry"
	return b
}

// unchanged is what a dry run says of a destination where nothing would change.
func unchanged(b policy.Binding) policy.Binding {
	b = dry(b)
	b.Unchanged = true
	return b
}

func toHost(name string) policy.Target { return policy.Target{Kind: policy.TargetHost, Host: name} }

func everywhere() policy.Target { return policy.Target{Kind: policy.TargetAny} }

// limitedTo has so many calls an hour start.
func limitedTo(b policy.Binding, burst int) policy.Binding {
	b.Base.RateLimit = &policy.RateLimit{Requests: 1, Per: time.Hour, Burst: burst, Scope: policy.ShareNode}
	return b
}

// planOf resolves what governs a request for a host.
func planOf(t testing.TB, s *Table, host, original string) (*Plan, *Route) {
	t.Helper()
	return planOfPod(t, s, "a", host, original)
}

func planOfPod(t testing.TB, s *Table, pod, host, original string) (*Plan, *Route) {
	t.Helper()
	all := s.PodRoutes(pod)
	for _, c := range all.Candidates(addr(original)) {
		if c.Governs([]byte(host)) {
			r, err := all.Route(&c, []byte(host), addr(original))
			if err != nil {
				t.Fatal(err)
			}
			return r.Plan([]byte("GET"), []byte("/")), r
		}
	}
	t.Fatalf("nothing governs %s at %s", host, original)
	return nil, nil
}

func TestWhatCallsWouldComeUnder(t *testing.T) {
	s := newTable(t)
	hostOnly, rest := dry(binding("dry-a", toHost("a.example"))), dry(binding("dry-any", everywhere()))
	hostOnly.Base.Retry.MaxRetries, rest.Base.Retry.MaxRetries = 7, 8
	install(t, s, snapshot(binding("a", toHost("a.example")), binding("b", toHost("b.example")),
		hostOnly, unchanged(binding("b", toHost("b.example"))), rest))
	for host, want := range map[string]struct {
		key     string
		retries int // that there would be; 0: nothing would change
	}{
		"a.example": {"a", 7}, "b.example": {"b", 0}, "c.example": {"dry-any", 8},
	} {
		p, r := planOf(t, s, host, "192.0.2.1:80")
		if r.Key() != want.key || (p.Would != nil) != (want.retries > 0) || (p.Shadow != nil) != (want.retries > 0) {
			t.Errorf("%s comes under %s, would: %+v", host, r.Key(), p.Would)
		}
		if p.Would != nil && p.Would.Settings.Retry.MaxRetries != want.retries {
			t.Errorf("%s would be retried %d times", host, p.Would.Settings.Retry.MaxRetries)
		}
		if untouched := want.key == "dry-any"; r.Untouched() != untouched || untouched && p.Settings.Retry.MaxRetries != 0 {
			t.Errorf("%s is untouched: %v, retried %d times", host, r.Untouched(), p.Settings.Retry.MaxRetries)
		}
	}
}

// What is written alike decides for both; what is not, the dry run has for itself.
func TestWhatADryRunHasForItself(t *testing.T) {
	for name, tc := range map[string]struct {
		burst     int
		own, like int
	}{"the same limit": {1, 0, 1}, "another limit": {2, 1, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newTable(t)
			install(t, s, snapshot(limitedTo(binding("a", everywhere()), 1), dry(limitedTo(binding("dry", everywhere()), tc.burst))))
			p, _ := planOf(t, s, "a.example", "192.0.2.1:80")
			if len(p.Gates) != 1 || len(p.Shadow.Gates) != tc.own || int(p.Shadow.Alike.Gates) != tc.like {
				t.Errorf("%d gates, %d of the dry run, alike %b", len(p.Gates), len(p.Shadow.Gates), p.Shadow.Alike.Gates)
			}
			if p.Shadow.Budget == nil || p.Shadow.Budget == p.Budget {
				t.Error("the budget is shared")
			}
		})
	}
}

func TestRulesOfADryRunAreChosenByTheRequest(t *testing.T) {
	s := newTable(t)
	b := dry(binding("dry", everywhere()))
	rule := policy.Rule{Name: "posts", Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: policy.Defaults()}
	rule.Settings.Retry.MaxRetries = 9
	b.Rules = []policy.Rule{rule}
	install(t, s, snapshot(b))
	_, r := planOf(t, s, "a.example", "192.0.2.1:80")
	if p := r.Plan([]byte("POST"), []byte("/")); p.Would.Settings.Retry.MaxRetries != 9 || p.Rule != "" {
		t.Errorf("%+v", p.Would.Settings.Retry)
	}
	if p := r.Plan([]byte("GET"), []byte("/")); p.Would.Settings.Retry.MaxRetries == 9 || !r.HasRules() {
		t.Errorf("%+v", p.Would.Settings.Retry)
	}
}

func TestRulesOfADryRunLookAtHeads(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(binding("a", everywhere()), dry(ruledByHead())))
	_, r := planOf(t, s, "a.example", "192.0.2.1:80")
	if !r.LooksAtHeads() || !r.HasRules() {
		t.Error("nobody looks at the heads of requests")
	}
	if p := r.PlanFor(&Request{Head: &given{host: "a.example"}}); p.Rule != "" || p.Would.Rule != "host" {
		t.Errorf("rule %q, would be %q", p.Rule, p.Would.Rule)
	}
}

// A dry run takes nothing of what the cluster shares, and has no endpoints of which it could put one out.
func TestADryRunIsOfItsNodeAlone(t *testing.T) {
	s := newTable(t)
	b := dry(binding("dry", everywhere()))
	b.Base.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 1, Scope: policy.ShareCluster, Shared: "ns/quota"}
	br := policy.DefaultBreaker()
	br.ConsecutiveFailures, br.Scope = 1, policy.ScopeEndpoint
	b.Base.Breaker = &br
	install(t, s, snapshot(b))
	p, _ := planOf(t, s, "a.example", "192.0.2.1:80")
	if list, shared := s.Demands(time.Now()); len(list) > 0 || shared || len(p.Shadow.Gates) != 1 {
		t.Errorf("%d gates, demands %+v", len(p.Shadow.Gates), list)
	}
	if p.Shadow.Breaker != nil || p.Shadow.Endpoints != nil || p.Endpoints != nil || p.Shadow.Alike.Breaker {
		t.Errorf("breakers %+v, %+v, %+v", p.Shadow.Breaker, p.Shadow.Endpoints, p.Endpoints)
	}
	s.Endpoints(time.Now())
	edited := b
	limit := *b.Base.RateLimit
	limit.Requests, edited.Base.RateLimit = 50, &limit
	install(t, s, snapshot(edited))
	if p, _ := planOf(t, s, "a.example", "192.0.2.1:80"); len(p.Shadow.Gates) != 1 {
		t.Errorf("%d gates after an edit", len(p.Shadow.Gates))
	}
	s.Stats(time.Now(), func(v Stats) {
		if v.Shared {
			t.Errorf("a share of %v", v.Share)
		}
	})
}

// What a dry run keeps goes with its policy, with its pods, and when it is enforced.
func TestWhatADryRunKeepsIsBounded(t *testing.T) {
	s := newTable(t)
	breaking := func(b policy.Binding) policy.Binding {
		br := policy.DefaultBreaker()
		br.ConsecutiveFailures = 1
		b.Base.Breaker = &br
		return b
	}
	with := breaking(dry(binding("dry", everywhere())))
	install(t, s, snapshot(with))
	for i := range 100 {
		planOf(t, s, "a.example", fmt.Sprintf("192.0.2.%d:80", i))
	}
	if n := s.states.shadows; n == 0 || n > s.maxDynamic {
		t.Errorf("%d things kept", n)
	}
	p, _ := planOf(t, s, "a.example", "192.0.2.99:80")
	if permit, ok := p.Shadow.Breaker.Allow(time.Now()); ok {
		p.Shadow.Breaker.Done(time.Now(), permit, resilience.Result{Failed: true})
	}
	open := 0
	s.Stats(time.Now(), func(v Stats) {
		if v.BreakersOpen > 0 && v.Shadow {
			open++
		}
	})
	if open != 1 || p.Breaker != nil {
		t.Errorf("%d would be open, the call's own is %v", open, p.Breaker)
	}
	enforced := with
	enforced.Mode = policy.ModeEnforce
	install(t, s, snapshot(enforced))
	if n := s.states.shadows; n != 0 {
		t.Errorf("%d things kept once it is enforced", n)
	}
	if p, _ := planOf(t, s, "a.example", "192.0.2.99:80"); p.Shadow != nil || p.Breaker.Status(time.Now()).State != resilience.Closed {
		t.Errorf("enforced with what the dry run has counted: %+v", p)
	}
	install(t, s, snapshot(with))
	planOf(t, s, "a.example", "192.0.2.1:80")
	install(t, s, snapshot())
	if n := s.states.shadows; n != 0 {
		t.Errorf("%d things kept of a policy that is gone", n)
	}
}

// What calls of one pod to one destination would come under is bounded, whoever else has found it; and what is gone leaves room.
func TestWhatADryRunKeepsOfOnePodIsBounded(t *testing.T) {
	s := newTable(t)
	s.maxDynamic = 4 * maxShadows
	enforced, with := binding("a", toHost("a.example")), dry(binding("dry", everywhere()))
	shadows := func(pod string, from, to int) (n int) {
		for i := from; i < to; i++ {
			if p, _ := planOfPod(t, s, pod, "a.example", fmt.Sprintf("192.0.2.%d:80", i)); p.Shadow != nil {
				n++
			}
		}
		return n
	}
	for range 2 { // once more when all that was kept has gone with its policy
		install(t, s, snapshot(enforced, with))
		if n := shadows("a", 0, maxShadows); n != maxShadows {
			t.Errorf("%d of %d calls are looked at", n, maxShadows)
		}
		shadows("b", maxShadows, 2*maxShadows)
		if n := shadows("a", maxShadows, 2*maxShadows); n != 0 {
			t.Errorf("%d calls beyond the bound are looked at, since another pod has made such", n)
		}
		install(t, s, snapshot(enforced))
		if n := s.states.shadows; n != 0 {
			t.Errorf("%d things kept of a policy that is gone", n)
		}
	}
}

// A pod that goes through many addresses does not keep its neighbours' calls from being looked at, whether what it calls is forgotten or, being
// named by a policy, is not.
func TestAPodThatScansTakesNoRoomOfItsNeighboursDryRuns(t *testing.T) {
	for _, scanned := range []int{4, 5, 10} {
		t.Run(fmt.Sprint("dynamic destinations, ", scanned, " of them"), func(t *testing.T) {
			s := newTable(t)
			s.maxDynamic = 4
			install(t, s, snapshot(dry(binding("dry", everywhere()))))
			for i := range scanned {
				planOfPod(t, s, "a", "a.example", fmt.Sprintf("192.0.2.%d:80", i))
				if n := s.states.shadows; n > s.maxDynamic {
					t.Fatalf("%d things kept, %d may be", n, s.maxDynamic)
				}
			}
			if p, _ := planOfPod(t, s, "b", "b.example", "198.51.100.1:80"); p.Shadow == nil {
				t.Error("the neighbour's call is not looked at")
			}
		})
	}
	t.Run("destinations of policies", func(t *testing.T) {
		const hosts = 5
		s := newTable(t)
		s.maxDynamic = (hosts - 1) * maxShadows
		bindings := []policy.Binding{dry(binding("dry", everywhere()))}
		for i := range hosts {
			bindings = append(bindings, binding(fmt.Sprint("h", i), toHost(fmt.Sprintf("h%d.example", i))))
		}
		install(t, s, snapshot(bindings...))
		looked := func(pod string, host, address int) bool {
			p, _ := planOfPod(t, s, pod, fmt.Sprintf("h%d.example", host), fmt.Sprintf("192.0.2.%d:80", address))
			return p.Shadow != nil
		}
		for i := range hosts * maxShadows {
			if got, want := looked("a", i/maxShadows, i), i < s.maxDynamic; got != want {
				t.Fatalf("call %d is looked at: %v, want %v", i, got, want)
			}
		}
		for i := range maxShadows {
			if !looked("b", 0, 100+i) {
				t.Errorf("the neighbour's call %d is not looked at", i)
			}
		}
		total := 0
		for pod, p := range s.entries.pods {
			n := 0
			for _, e := range p.all {
				n += len(e.shadows)
			}
			if n != p.shadows {
				t.Errorf("pod %s has %d, %d are counted", pod, n, p.shadows)
			}
			total += n
		}
		if n := s.states.shadows; n > s.maxDynamic || n != total {
			t.Errorf("%d things kept, %d of pods, %d may be", n, total, s.maxDynamic)
		}
	})
}

// A route is found again without memory for it.
func TestRoutesOfDryRunsAreKept(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(binding("a", toHost("a.example")), dry(binding("dry", everywhere()))))
	_, first := planOf(t, s, "a.example", "192.0.2.1:80")
	if _, again := planOf(t, s, "a.example", "192.0.2.1:80"); again != first {
		t.Error("another route the second time")
	}
	if n := testing.AllocsPerRun(100, func() { first.Plan(nil, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
