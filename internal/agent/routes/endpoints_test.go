package routes

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// withEndpointBreakers is a binding whose endpoints are out after one failure.
func withEndpointBreakers(sharing policy.Sharing) policy.Binding {
	b := withBreaker(sharing)
	b.Base.Breaker.Scope, b.Base.Breaker.MaxEjectedPercent = policy.ScopeEndpoint, 100
	return b
}

// failAt has a call fail at an endpoint.
func failAt(t testing.TB, r *Route, at string) {
	t.Helper()
	p := r.Plan(nil, nil)
	if p.Breaker != nil || p.Endpoints.Of(addr(at)) == nil {
		t.Fatalf("breaker %v, endpoint %v", p.Breaker, p.Endpoints.Of(addr(at)))
	}
	b, permit, ok := p.Endpoints.Of(addr(at)).Allow(time.Now())
	if !ok {
		t.Fatal("not allowed")
	}
	b.Done(time.Now(), permit, resilience.Result{Failed: true})
}

func isOut(r *Route, at string) bool {
	ep := r.Plan(nil, nil).Endpoints.Of(addr(at))
	return ep != nil && !ep.Takes(time.Now(), 0)
}

const cluster, one, two = "10.96.0.7:80", "10.1.0.1:8080", "10.1.0.2:8080"

// What is known of an endpoint is kept as long as it is one, and the block is as it was.
func TestRule22_EndpointsAreJudgedAsLongAsThereAreSome(t *testing.T) {
	s := newTable(t)
	b := withEndpointBreakers(policy.ShareNode)
	snap := snapshot(b)
	install(t, s, snap)
	failAt(t, routeTo(t, s, "a", cluster), one)
	if !isOut(routeTo(t, s, "b", cluster), one) {
		t.Fatal("the endpoint is not out for the other pod")
	}

	three := netip.MustParseAddrPort("10.1.0.3:8080")
	withMore := func(endpoints ...netip.AddrPort) *policy.Snapshot {
		next := snapshot(b)
		next.Destinations["ns/shop"].Ports[0].Endpoints = policy.Ready(endpoints...)
		return next
	}
	install(t, s, withMore(addr(one), addr(two), three))
	r := routeTo(t, s, "a", cluster)
	if !isOut(r, one) || r.Plan(nil, nil).Endpoints.Of(three) == nil {
		t.Error("another endpoint came, and the first one is not out, or the other one is not known")
	}
	install(t, s, withMore(addr(one)))
	if isOut(routeTo(t, s, "a", cluster), one) {
		t.Error("the only endpoint is out")
	}
	install(t, s, withMore(addr(one), addr(two)))
	failAt(t, routeTo(t, s, "a", cluster), one)
	install(t, s, withMore(addr(two)))
	install(t, s, withMore(addr(one), addr(two)))
	if isOut(routeTo(t, s, "a", cluster), one) {
		t.Error("an endpoint that came back is still out")
	}

	failAt(t, routeTo(t, s, "a", cluster), one)
	edited := *b.Base.Breaker
	edited.ConsecutiveFailures = 9
	b.Base.Breaker = &edited
	install(t, s, withMore(addr(one), addr(two)))
	if isOut(routeTo(t, s, "a", cluster), one) {
		t.Error("an edit of the breaker did not let the endpoint in")
	}
	whole := edited
	whole.Scope = policy.ScopeDestination
	b.Base.Breaker = &whole
	install(t, s, withMore(addr(one), addr(two)))
	if p := routeTo(t, s, "a", cluster).Plan(nil, nil); p.Breaker == nil || p.Endpoints != nil {
		t.Error("the breaker is not the whole destination's")
	}
}

func TestRule22_EndpointsAreJudgedByWhoSharesThem(t *testing.T) {
	for sharing, shared := range map[policy.Sharing]bool{policy.ShareNode: true, policy.ShareCluster: true, policy.SharePod: false} {
		s := newTable(t)
		install(t, s, snapshot(withEndpointBreakers(sharing)))
		failAt(t, routeTo(t, s, "a", cluster), one)
		if got := isOut(routeTo(t, s, "b", cluster), one); got != shared {
			t.Errorf("%v: out for the other pod: %v", sharing, got)
		}
		opaque := routeTo(t, s, "a", cluster).OpaquePlan()
		if opaque.Endpoints == nil || opaque.Endpoints.Out() != 0 {
			t.Errorf("%v: what becomes of requests says something of connections that are passed through", sharing)
		}
	}
}

func TestRule22_WhatStandsAloneIsNotJudged(t *testing.T) {
	for name, to := range map[string]policy.Target{
		"a block": {Kind: policy.TargetCIDR, Block: netip.MustParsePrefix("203.0.113.0/24")}, "anything": {Kind: policy.TargetAny},
		"any host": {Kind: policy.TargetHost, Host: "*"},
	} {
		b := withEndpointBreakers(policy.ShareNode)
		b.To = to
		s := newTable(t)
		install(t, s, snapshot(b))
		if p := routeTo(t, s, "a", "203.0.113.1:80").Plan(nil, nil); p.Endpoints != nil || p.Breaker != nil {
			t.Errorf("%s: %v, %v", name, p.Endpoints, p.Breaker)
		}
	}
}

// fewNames answers at once.
type fewNames []netip.Addr

func (f fewNames) Lookup(context.Context, string, string) ([]netip.Addr, time.Time, error) {
	return f, time.Now().Add(time.Hour), nil
}

// The addresses of a name are looked up when one of them would be out if there were others.
func TestRule22_AddressesOfANameAreJudged(t *testing.T) {
	names := fewNames{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")}
	s, err := New(Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	b := withEndpointBreakers(policy.ShareNode)
	b.To = policy.Target{Kind: policy.TargetHost, Host: "host.example"}
	install(t, s, snapshot(b))
	r := routeTo(t, s, "a", "203.0.113.1:80")
	p := r.Plan(nil, nil)
	if r.RefreshOthers(time.Now(), p.Endpoints); r.KnowsAddresses(time.Now()) {
		t.Error("looked up while all was well")
	}
	p.Endpoints.Join(addr("203.0.113.1:80"))
	failAt(t, r, "203.0.113.1:80")
	if r.RefreshOthers(time.Now(), p.Endpoints); !r.KnowsAddresses(time.Now()) || p.Endpoints.Of(addr("203.0.113.2:80")) == nil {
		t.Fatal("not looked up")
	}
	if failAt(t, r, "203.0.113.1:80"); !isOut(r, "203.0.113.1:80") {
		t.Error("the address is not out")
	}
}

// Figures count an endpoint once, whoever keeps it out, and /debug says who does.
func TestEndpointsTellOfThemselves(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(withEndpointBreakers(policy.SharePod)))
	failAt(t, routeTo(t, s, "a", cluster), one)
	failAt(t, routeTo(t, s, "b", cluster), one)
	routeTo(t, s, "b", cluster).Plan(nil, nil).Endpoints.Of(addr(two)).Allow(time.Now())
	var got Stats
	s.Stats(time.Now(), func(v Stats) { got = v })
	if got.Ejected != 1 || got.Ejections[resilience.ConsecutiveFailures] != 2 || len(got.Breakers) != 0 {
		t.Errorf("got %+v", got)
	}
	all := s.Endpoints(time.Now())
	if len(all) != 1 || all[0].Destination != "ns/shop:80" || len(all[0].Hosts) != 2 || all[0].Hosts[0].Address != addr(one) {
		t.Fatalf("got %+v", all)
	}
	pods := []string{}
	for _, e := range all[0].Judged {
		if e.State == "open" && e.Address == addr(one) && e.Ejections == 1 && e.Weight == 0 && e.Until.After(time.Now()) {
			pods = append(pods, e.Pod)
		}
	}
	if !slices.Equal(pods, []string{"a", "b"}) || len(all[0].Judged) != 3 {
		t.Errorf("got %+v", all[0].Judged)
	}
}
