package routes

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

func newStore(t testing.TB) *Table {
	t.Helper()
	s, err := New(Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, MaxDynamic: 8})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// shop is a Service with a cluster IP, two ports and two endpoints.
func shop() *policy.Destination {
	return &policy.Destination{
		Name: "ns/shop", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7")},
		Ports: []policy.DestinationPort{
			{Port: 80, Name: "http", Endpoints: []netip.AddrPort{addr("10.1.0.1:8080"), addr("10.1.0.2:8080")}},
			{Port: 81, Name: "admin", Endpoints: []netip.AddrPort{addr("10.1.0.1:8081")}},
		},
	}
}

func binding(key string, to policy.Target) policy.Binding {
	return policy.Binding{Key: key, Policy: policy.ID{Namespace: "ns", Name: key}, To: to, Base: policy.Defaults()}
}

func snapshot(bindings ...policy.Binding) *policy.Snapshot {
	return &policy.Snapshot{
		Workloads: map[string]*policy.Workload{
			"a": {UID: "a", Profile: "p"}, "b": {UID: "b", Profile: "p"}, "none": {UID: "none", Profile: "missing"},
		},
		Profiles:     map[string]*policy.Profile{"p": {Name: "p", Bindings: bindings}},
		Destinations: map[string]*policy.Destination{"ns/shop": shop()},
	}
}

func install(t testing.TB, s *Table, snap *policy.Snapshot) {
	t.Helper()
	if r := s.Install(snap); len(r) > 0 {
		t.Fatalf("rejected: %v", r)
	}
}

func keys(cs []Candidate) (out []string) {
	for i := range cs {
		out = append(out, cs[i].Key())
	}
	return out
}

//enforces:agent mode to[].service.name to[].service.namespace to[].service.port to[].host to[].ports to[].any
//enforces:agent to[].cidr.block to[].cidr.except to[].cidr.ports
func TestCandidates(t *testing.T) {
	host := policy.Target{Kind: policy.TargetHost, Host: "api.example", Ports: []uint16{80, 443}}
	service := policy.Target{Kind: policy.TargetService, Service: "ns/shop", Ports: []uint16{80}}
	block := policy.Target{
		Kind: policy.TargetCIDR, Block: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Ports: []uint16{80, 5432},
	}
	disabled := binding("disabled", policy.Target{Kind: policy.TargetAny})
	disabled.Mode = policy.ModeDisabled
	dry := binding("dry", policy.Target{Kind: policy.TargetAny})
	dry.Mode = policy.ModeDryRun
	s := newStore(t)
	install(t, s, snapshot(disabled, dry, binding("host", host), binding("service", service), binding("block", block),
		binding("any", policy.Target{Kind: policy.TargetAny})))
	table := s.PodRoutes("a")
	for original, want := range map[string][]string{
		"10.96.0.7:80":     {"host", "service"},
		"10.1.0.1:8080":    {"service"},
		"10.96.0.7:81":     {"any"},
		"10.2.0.1:80":      {"host", "block"},
		"10.2.0.1:5432":    {"block"},
		"10.1.0.9:5432":    {"any"},
		"203.0.113.1:443":  {"host", "any"},
		"[2001:db8::1]:80": {"host", "any"},
	} {
		if got := keys(table.Candidates(addr(original))); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", original, got, want)
		}
	}
	if s.PodRoutes("none") != nil || s.PodRoutes("unknown") != nil {
		t.Error("a pod without a profile has a table")
	}
}

func TestPinning(t *testing.T) {
	s := newStore(t)
	install(t, s, snapshot(binding("service", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}),
		binding("any", policy.Target{Kind: policy.TargetAny})))
	for original, want := range map[string]bool{"10.96.0.7:80": false, "10.1.0.2:8080": true, "203.0.113.1:80": true} {
		if c := s.PodRoutes("a").Candidates(addr(original)); c[0].Pinned != want {
			t.Errorf("%s: pinned %v", original, c[0].Pinned)
		}
	}
}

//enforces:agent to[].host
func TestHosts(t *testing.T) {
	for _, tc := range []struct {
		pattern, host string
		want          bool
	}{
		{"api.example", "api.example", true},
		{"api.example", "API.Example:8080", true},
		{"api.example", "api.example.", true},
		{"api.example", "xapi.example", false},
		{"*.example", "api.example", true},
		{"*.example", "a.b.example", true},
		{"*.example", ".example", false},
		{"*.example", "example", false},
		{"*", "anything", true},
		{"*", "", true},
		{"::1", "[::1]:80", true},
	} {
		p := compileHost(tc.pattern)
		if got := p.matches(AppendHost(nil, []byte(tc.host))); got != tc.want {
			t.Errorf("%s matches %s: %v", tc.pattern, tc.host, got)
		}
	}
}

func TestRules(t *testing.T) {
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	rule := func(name string, m ...policy.RequestMatch) policy.Rule {
		return policy.Rule{Name: name, Match: m, Settings: b.Base}
	}
	b.Rules = []policy.Rule{
		rule("exact", policy.RequestMatch{Methods: []string{"POST"}, PathType: policy.PathExact, Path: "/v1/charge"}),
		rule("prefix", policy.RequestMatch{PathType: policy.PathPrefix, Path: "/v1"}, policy.RequestMatch{PathType: policy.PathPrefix, Path: "/w/"}),
		rule("expr", policy.RequestMatch{PathType: policy.PathRegularExpression, Path: "/x[0-9]+"}),
		rule("method", policy.RequestMatch{Methods: []string{"PUT", "DELETE"}}),
	}
	s := newStore(t)
	install(t, s, snapshot(b))
	c := s.PodRoutes("a").Candidates(addr("192.0.2.1:80"))
	lane, err := s.PodRoutes("a").Route(&c[0], nil, addr("192.0.2.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ method, target, want string }{
		{"POST", "/v1/charge?x=/y", "exact"},
		{"GET", "/v1/charge", "prefix"},
		{"GET", "/v1", "prefix"},
		{"GET", "/v1?q", "prefix"},
		{"GET", "/v1x", ""},
		{"GET", "/w", "prefix"},
		{"GET", "/w/x", "prefix"},
		{"GET", "/x12", "expr"},
		{"GET", "/x12/", ""},
		{"GET", "/a/x12", ""},
		{"PUT", "/", "method"},
		{"GET", "http://host/v1/a", "prefix"},
		{"GET", "http://host", ""},
		{"OPTIONS", "*", ""},
	} {
		if got := lane.Plan([]byte(tc.method), PathOf([]byte(tc.target))).Rule; got != tc.want {
			t.Errorf("%s %s: rule %q, want %q", tc.method, tc.target, got, tc.want)
		}
	}
}

func TestRule35_ABadProfileLeavesThePreviousInForce(t *testing.T) {
	s := newStore(t)
	good := binding("k", policy.Target{Kind: policy.TargetAny})
	install(t, s, snapshot(good))
	before := s.PodRoutes("a")
	bad := good
	bad.Rules = []policy.Rule{{Name: "r", Match: []policy.RequestMatch{{PathType: policy.PathRegularExpression, Path: "("}}}}
	rejected := s.Install(snapshot(bad))
	if len(rejected) != 1 || rejected[0].Profile != "p" || rejected[0].Reason != ReasonInvalid || rejected[0].Message == "" {
		t.Fatalf("got %+v", rejected)
	}
	if s.PodRoutes("a") != before {
		t.Error("the previous version is not in force")
	}
}

// lane resolves what governs calls to an address.
func lane(t testing.TB, s *Table, pod, original string) *Route {
	t.Helper()
	table := s.PodRoutes(pod)
	c := table.Candidates(addr(original))
	l, err := table.Route(&c[0], []byte("host.example"), addr(original))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func withBreaker(sharing policy.Sharing) policy.Binding {
	b := binding("k", policy.Target{Kind: policy.TargetService, Service: "ns/shop"})
	br := policy.DefaultBreaker()
	br.ConsecutiveFailures, br.Sharing = 1, sharing
	b.Base.Breaker = &br
	return b
}

func stateOf(l *Route) resilience.State { return l.Plan(nil, nil).Breaker.Status(time.Now()).State }

func trip(t testing.TB, l *Route) {
	t.Helper()
	b := l.Plan(nil, nil).Breaker
	p, ok := b.Allow(time.Now())
	if !ok {
		t.Fatal("not allowed")
	}
	b.Done(time.Now(), p, resilience.Result{Failed: true})
}

func TestRule22_BreakersSurviveEditsThatDoNotTouchThem(t *testing.T) {
	s := newStore(t)
	b := withBreaker(policy.ShareNode)
	install(t, s, snapshot(b))
	trip(t, lane(t, s, "a", "10.96.0.7:80"))
	pool := lane(t, s, "a", "10.96.0.7:80").Pool

	b.Base.Timeouts.PerTry = time.Second
	other := *b.Base.Breaker
	b.Base.Breaker = &other
	install(t, s, snapshot(b))
	l := lane(t, s, "a", "10.96.0.7:80")
	if stateOf(l) != resilience.Open {
		t.Error("the breaker forgot that it was open")
	}
	if l.Pool != pool {
		t.Error("the pool was thrown away")
	}
	if l.Plan(nil, nil).Settings.Timeouts.PerTry != time.Second {
		t.Error("the edit is not in force")
	}
	if stateOf(lane(t, s, "a", "10.96.0.7:81")) != resilience.Closed {
		t.Error("another port's breaker opened")
	}

	changed := *b.Base.Breaker
	changed.ConsecutiveFailures = 7
	b.Base.Breaker = &changed
	install(t, s, snapshot(b))
	if stateOf(lane(t, s, "a", "10.96.0.7:80")) != resilience.Closed {
		t.Error("an edited breaker starts closed")
	}
}

func TestBreakersAreSharedAsThePolicySays(t *testing.T) {
	for sharing, want := range map[policy.Sharing]resilience.State{policy.ShareNode: resilience.Open, policy.SharePod: resilience.Closed} {
		s := newStore(t)
		install(t, s, snapshot(withBreaker(sharing)))
		trip(t, lane(t, s, "a", "10.96.0.7:80"))
		if got := stateOf(lane(t, s, "b", "10.96.0.7:80")); got != want {
			t.Errorf("sharing %d: the other pod's breaker is %v, want %v", sharing, got, want)
		}
		if lane(t, s, "a", "10.96.0.7:80").Pool == lane(t, s, "b", "10.96.0.7:80").Pool {
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
	s := newStore(t)
	install(t, s, snapshot(b))
	l := lane(t, s, "a", "10.96.0.7:80")
	base, post, put := l.Plan([]byte("GET"), nil), l.Plan([]byte("POST"), nil), l.Plan([]byte("PUT"), nil)
	if base.Breaker == post.Breaker || base.Budget == post.Budget {
		t.Error("a rule with its own blocks shares state")
	}
	if base.Breaker != put.Breaker || base.Budget != put.Budget {
		t.Error("a rule without its own blocks does not share state")
	}
}

func TestUnchangedProfilesKeepTheirTables(t *testing.T) {
	s := newStore(t)
	snap := snapshot(binding("k", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}))
	install(t, s, snap)
	before, version := s.PodRoutes("a"), s.Version()
	install(t, s, snap)
	if s.PodRoutes("a") != before {
		t.Error("an unchanged table was replaced")
	}
	if s.Version() == version {
		t.Error("the version did not change")
	}
	next := *snap
	next.Destinations = map[string]*policy.Destination{"ns/shop": shop()}
	install(t, s, &next)
	if s.PodRoutes("a") == before {
		t.Error("a change of endpoints went unnoticed")
	}
}

func TestRule34_NothingIsLeftOfWhatIsRemoved(t *testing.T) {
	s := newStore(t)
	install(t, s, snapshot(withBreaker(policy.ShareNode)))
	old := lane(t, s, "a", "10.96.0.7:80")
	lane(t, s, "b", "10.96.0.7:80")
	next := snapshot(withBreaker(policy.ShareNode))
	delete(next.Workloads, "a")
	install(t, s, next)
	pools := 0
	s.dock.Each(func(k upstream.Key, _ upstream.Stats) {
		if pools++; k.Pod == "a" {
			t.Error("the removed pod's pool is left")
		}
	})
	if pools != 1 {
		t.Errorf("%d pools", pools)
	}
	install(t, s, &policy.Snapshot{})
	s.dock.Each(func(upstream.Key, upstream.Stats) { t.Error("a pool is left") })
	if len(s.states.all) != 0 {
		t.Error("state is left")
	}
	if old.Plan(nil, nil).Settings == nil || !old.Stale() {
		t.Error("a call under way lost its plan")
	}
}

func TestDynamicDestinationsAreBounded(t *testing.T) {
	s := newStore(t)
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	install(t, s, snapshot(b))
	first := lane(t, s, "a", "192.0.2.1:1")
	for i := 2; i < 100; i++ {
		lane(t, s, "a", fmt.Sprintf("192.0.2.1:%d", i))
	}
	if n := len(s.states.all["k"]); n != 8 {
		t.Errorf("%d destinations are kept, want 8", n)
	}
	pools := 0
	s.dock.Each(func(upstream.Key, upstream.Stats) { pools++ })
	if pools != 8 {
		t.Errorf("%d pools are kept, want 8", pools)
	}
	if !first.Stale() {
		t.Error("the first was not forgotten")
	}
	if again := lane(t, s, "a", "192.0.2.1:1"); again == first || again.Stale() {
		t.Error("it does not come back")
	}
	if n := len(s.PodRoutes("a").lanes); n > 2*64+8 {
		t.Errorf("%d lanes are remembered", n)
	}
}

func TestALaneOfAReplacedTableDisturbsNobody(t *testing.T) {
	s := newStore(t)
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
	if stateOf(lane(t, s, "a", "10.96.0.7:80")) != resilience.Closed {
		t.Error("an old version opened the breaker of the new one")
	}
}

func TestSurvey(t *testing.T) {
	s := newStore(t)
	install(t, s, snapshot(withBreaker(policy.ShareNode)))
	trip(t, lane(t, s, "a", "10.96.0.7:80"))
	var got []Stats
	s.Stats(time.Now(), func(v Stats) { got = append(got, v) })
	if len(got) != 1 || got[0].BreakersOpen != 1 || got[0].Target != "service ns/shop" || got[0].Destination != "ns/shop:80" {
		t.Errorf("got %+v", got)
	}
}
