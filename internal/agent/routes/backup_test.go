package routes

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
)

// backedUp is a binding whose calls fall back on another destination.
func backedUp(key string, to, instead policy.Target) policy.Binding {
	b := binding(key, to)
	b.Base.Fallback = &policy.Fallback{On: policy.FallbackOn{RetriesExhausted: true}, Destination: &instead}
	b.Base.Breaker = &policy.Breaker{ConsecutiveFailures: 1, Sharing: policy.ShareCluster}
	b.Base.RateLimit = &policy.RateLimit{Requests: 1, Burst: 1}
	return b
}

func hosted(host string, ports ...uint16) policy.Target {
	return policy.Target{Kind: policy.TargetHost, Host: host, Ports: ports}
}

// What calls fall back on is a destination of its own, whose name depends on what is called only as far as the policy leaves it open.
func TestWhatCallsFallBackOn(t *testing.T) {
	any := policy.Target{Kind: policy.TargetAny}
	originated := hosted("*")
	originated.TLS = policy.TLS{Mode: policy.TLSOriginate, Port: 443, ServerName: "x"}
	service := func(ports ...uint16) policy.Target {
		return policy.Target{Kind: policy.TargetService, Service: "ns/shop", Ports: ports}
	}
	for name, tc := range map[string]struct {
		to, instead policy.Target
		want        string // empty: nothing
		address     string
		authority   string
	}{
		"a Service's port":             {any, service(81), "ns/shop:81", "10.96.0.7:81", ""},
		"the port that was called":     {any, service(), "ns/shop:80", "10.96.0.7:80", ""},
		"a port that there is not":     {any, service(82), "", "", ""},
		"a host":                       {any, hosted("b.example", 8080), "b.example:8080", "invalid AddrPort", "b.example:8080"},
		"a host's default port":        {any, hosted("b.example"), "b.example:80", "invalid AddrPort", "b.example"},
		"over TLS, as the call":        {originated, hosted("b.example"), "b.example:443", "invalid AddrPort", "b.example"},
		"over TLS, on a port":          {originated, hosted("b.example", 80), "b.example:80", "invalid AddrPort", "b.example:80"},
		"a Service never, as the call": {originated, service(80), "ns/shop:80", "10.96.0.7:80", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTable(t)
			install(t, s, snapshot(backedUp("k", tc.to, tc.instead)))
			r := routeTo(t, s, "a", "192.0.2.1:80")
			b := r.plans[0].Backup
			if b == nil || tc.want == "" {
				if (b == nil) != (tc.want == "") || (r.plans[0].Fallback == nil) != (b == nil) {
					t.Errorf("falls back on %+v", b)
				}
				return
			}
			got := []string{b.entry.key.destination, b.Address(netip.MustParseAddr("192.0.2.1")).String(), b.Authority()}
			if diff := cmp.Diff([]string{tc.want, tc.address, tc.authority}, got); diff != "" {
				t.Error(diff)
			}
			if secured := tc.to.TLS.Originates() && tc.instead.Kind == policy.TargetHost; b.Secured() != secured {
				t.Errorf("secured: %v", b.Secured())
			}
			own, other := &r.plans[0], &b.plans[0]
			if on := own.Fallback.On; on != (policy.FallbackOn{RetriesExhausted: true}) {
				t.Errorf("falls back on %+v", on)
			}
			if own.Fallback.Plan != &other.Plan || other.Breaker == nil || other.Breaker == own.Breaker || other.Breaker.Shared() || len(other.Gates) > 0 || other.Fallback != nil {
				t.Errorf("plan %+v", other)
			}
		})
	}
}

// What is about calls is the call's, and not asked for again where it falls back, under a rule neither. The breaker is the node's own.
func TestWhatCallsFallBackOnIsAskedForOneAttempt(t *testing.T) {
	instead := hosted("b.example")
	full := policy.Defaults()
	full.Fallback = &policy.Fallback{Destination: &instead}
	full.RateLimit, full.Concurrency = &policy.RateLimit{Requests: 1}, &policy.Concurrency{Max: 1}
	full.Faults, full.Retry.Hedging = &policy.Faults{Percent: 100}, policy.Hedging{Max: 1, Delay: 1}
	full.Breaker, full.Pool.MaxConnections = &policy.Breaker{ConsecutiveFailures: 3, Sharing: policy.ShareCluster}, 7
	of := &policy.Binding{Key: "k", Base: full, Rules: []policy.Rule{{Name: "r", Settings: full}}}
	b := backupSource(of, &instead)
	want := full
	want.Fallback, want.RateLimit, want.Concurrency, want.Faults, want.Retry.Hedging = nil, nil, nil, nil, policy.Hedging{}
	want.Breaker = &policy.Breaker{ConsecutiveFailures: 3, Sharing: policy.ShareNode}
	for name, got := range map[string]policy.Settings{"of the policy": b.Base, "of the rule": b.Rules[0].Settings} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if of.Base.Breaker.Sharing != policy.ShareCluster || of.Rules[0].Settings.RateLimit == nil || b.Key == of.Key {
		t.Error("the calls' own are no longer what they were")
	}
}

// A rule may fall back on something else, and keeps its own breaker there too.
func TestARuleFallsBackOnItsOwn(t *testing.T) {
	b := backedUp("k", policy.Target{Kind: policy.TargetAny}, hosted("b.example"))
	rule := policy.Rule{Name: "r", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: b.Base, OwnBreaker: true}
	other := rule
	other.Name, other.Match = "o", []policy.RequestMatch{{Methods: []string{"GET"}}}
	instead := hosted("c.example")
	other.Settings.Fallback = &policy.Fallback{Destination: &instead}
	none := rule
	none.Name, none.Match, none.Settings.Fallback = "n", []policy.RequestMatch{{Methods: []string{"HEAD"}}}, nil
	b.Rules = []policy.Rule{rule, other, none}
	s := newTable(t)
	install(t, s, snapshot(b))
	r := routeTo(t, s, "a", "192.0.2.1:80")
	base, put, get, head := r.Plan([]byte("POST"), nil), r.Plan([]byte("PUT"), nil), r.Plan([]byte("GET"), nil), r.Plan([]byte("HEAD"), nil)
	if base.Backup != put.Backup || base.Fallback.Plan.Breaker == put.Fallback.Plan.Breaker {
		t.Error("the rule does not share the destination, or shares its breaker")
	}
	if get.Backup == base.Backup || get.Backup.Authority() != "c.example" || head.Backup != nil || head.Fallback != nil {
		t.Error("a rule falls back on what another one does")
	}
}

// State is kept through edits, follows the endpoints, and is gone with the policy; nothing that is captured comes under it.
func TestWhatCallsFallBackOnIsKept(t *testing.T) {
	s := newTable(t)
	shopBackup := policy.Target{Kind: policy.TargetService, Service: "ns/shop", Ports: []uint16{80}}
	b := backedUp("k", hosted("a.example"), shopBackup)
	install(t, s, snapshot(b))
	of := s.PodRoutes("a")
	if got := of.Candidates(addr("10.96.0.7:80")); len(got) != 1 || got[0].Key() != "k" {
		t.Errorf("candidates %v", keys(got))
	}
	route := func() *Route {
		of := s.PodRoutes("a")
		c := of.Candidates(addr("192.0.2.1:80"))[0]
		r, err := of.Route(&c, []byte("a.example"), addr("192.0.2.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := route().plans[0].Backup
	b.Base.Retry.MaxRetries = 7
	next := snapshot(b)
	next.Destinations["ns/shop"].Ports[0].Endpoints = policy.Ready(addr("10.1.0.9:8080"))
	install(t, s, next)
	after := route().plans[0].Backup
	if after.Pool != before.Pool || after.plans[0].Breaker != before.plans[0].Breaker {
		t.Error("its state was lost in an edit")
	}
	if diff := cmp.Diff([]string{"10.1.0.9:8080"}, addresses(after.endpoints["ns/shop:80"])); diff != "" {
		t.Error(diff)
	}
	install(t, s, snapshot(binding("k", hosted("a.example"))))
	if route().plans[0].Backup != nil || len(s.states.all) != 1 {
		t.Errorf("states %v", s.states.all)
	}
}

func addresses(list []netip.AddrPort) (out []string) {
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

// A route is stale with what its calls fall back on, and a call keeps both from being forgotten.
func TestARouteIsStaleWithItsFallback(t *testing.T) {
	s := newTable(t) // at most 8 dynamic destinations
	install(t, s, snapshot(backedUp("k", policy.Target{Kind: policy.TargetAny}, hosted("b.example", 80))))
	r := routeTo(t, s, "a", "192.0.2.1:80")
	for i := range 20 {
		r.Plan(nil, nil)
		routeTo(t, s, "a", netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), 80).String())
		if r.Stale() {
			t.Fatalf("forgotten after %d others, though it is used", i+1)
		}
	}
	r.plans[0].Backup.entry.forgotten.Store(true)
	if !r.Stale() {
		t.Error("not stale")
	}
}
