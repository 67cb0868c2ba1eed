package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

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
	s := newTable(t)
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
	s := newTable(t)
	install(t, s, snapshot(binding("service", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}),
		binding("any", policy.Target{Kind: policy.TargetAny})))
	for original, want := range map[string]bool{"10.96.0.7:80": false, "10.1.0.2:8080": true, "203.0.113.1:80": true} {
		if c := s.PodRoutes("a").Candidates(addr(original)); c[0].Pinned != want {
			t.Errorf("%s: pinned %v", original, c[0].Pinned)
		}
	}
}

func TestRule35_ABadProfileLeavesThePreviousInForce(t *testing.T) {
	s := newTable(t)
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

// A snapshot with a profile that is refused changes nothing, not even for other profiles: it is installed again without that.
func TestRule35_ARefusedSnapshotChangesNothing(t *testing.T) {
	s := newTable(t)
	install(t, s, divided(opensAfter(1), opensAfter(1)))
	before := map[string]*PodRoutes{"a": s.PodRoutes("a"), "b": s.PodRoutes("b")}
	next := divided(opensAfter(3), opensAfter(3))
	next.Profiles["p"].Bindings[0].Rules = []policy.Rule{{Name: "r", Match: []policy.RequestMatch{{PathType: policy.PathRegularExpression, Path: "("}}}}
	delete(next.Workloads, "b")
	version := s.Version()
	if rejected := s.Install(next); len(rejected) != 1 || rejected[0].Profile != "p" {
		t.Fatalf("got %+v", rejected)
	}
	for pod, was := range before {
		if s.PodRoutes(pod) != was {
			t.Errorf("the policy of pod %s has changed", pod)
		}
	}
	if s.Version() != version {
		t.Error("the version has changed")
	}
	if n := failuresToOpen(t, routeTo(t, s, "a", "10.96.0.7:80")); n != 1 {
		t.Errorf("a breaker opened after %d failures, want what was in force", n)
	}
}

func TestUnchangedProfilesKeepTheirTables(t *testing.T) {
	s := newTable(t)
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

func TestDynamicDestinationsAreBounded(t *testing.T) {
	s := newTable(t)
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	install(t, s, snapshot(b))
	first := routeTo(t, s, "a", "192.0.2.1:1")
	for i := 2; i < 100; i++ {
		routeTo(t, s, "a", fmt.Sprintf("192.0.2.1:%d", i))
	}
	if n := len(s.states.all["k"]); n != 8 {
		t.Errorf("%d destinations are kept, want 8", n)
	}
	pools := 0
	s.pools.Each(func(upstream.Key, upstream.Stats) { pools++ })
	if pools != 8 {
		t.Errorf("%d pools are kept, want 8", pools)
	}
	if !first.Stale() {
		t.Error("the first was not forgotten")
	}
	if again := routeTo(t, s, "a", "192.0.2.1:1"); again == first || again.Stale() {
		t.Error("it does not come back")
	}
	if n := len(s.PodRoutes("a").routes); n != 8 {
		t.Errorf("%d routes are remembered, want those of the 8 destinations", n)
	}
}
