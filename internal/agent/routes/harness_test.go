package routes

import (
	"context"
	"net"
	"net/netip"
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

func newTable(t testing.TB) *Table {
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

// routeTo resolves what governs calls to an address.
func routeTo(t testing.TB, s *Table, pod, original string) *Route {
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
