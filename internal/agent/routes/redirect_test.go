package routes

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

//enforces:agent mode failurePolicy
func TestRedirectFor(t *testing.T) {
	disabled := binding("off", policy.Target{Kind: policy.TargetAny})
	disabled.Mode = policy.ModeDisabled
	prefix := netip.MustParsePrefix("203.0.113.0/24")
	for name, tc := range map[string]struct {
		bindings []policy.Binding
		want     intent.Redirect
	}{
		"nothing enforced": {[]policy.Binding{disabled}, intent.Redirect{FailClosed: true}},
		"service port": {
			[]policy.Binding{binding("s", policy.Target{Kind: policy.TargetService, Service: "ns/shop", Ports: []uint16{81}})},
			intent.Redirect{FailClosed: true, Addrs: []netip.AddrPort{addr("10.96.0.7:81"), addr("10.1.0.1:8081")}},
		},
		"unknown service": {[]policy.Binding{binding("s", policy.Target{Kind: policy.TargetService, Service: "ns/x"})}, intent.Redirect{FailClosed: true}},
		"host":            {[]policy.Binding{binding("h", policy.Target{Kind: policy.TargetHost, Host: "a"})}, intent.Redirect{FailClosed: true, Ports: []uint16{80, 443}}},
		"block and any port": {
			[]policy.Binding{
				binding("c", policy.Target{Kind: policy.TargetCIDR, Block: prefix, Ports: []uint16{5432}}),
				binding("p", policy.Target{Kind: policy.TargetAny, Ports: []uint16{8080}}),
			},
			intent.Redirect{FailClosed: true, Blocks: []intent.Block{{Prefix: prefix, Ports: []uint16{5432}}}, Ports: []uint16{8080}},
		},
		"any":       {[]policy.Binding{binding("a", policy.Target{Kind: policy.TargetAny})}, intent.Redirect{FailClosed: true, All: true}},
		"a dry run": {[]policy.Binding{dry(binding("a", policy.Target{Kind: policy.TargetAny}))}, intent.Redirect{FailClosed: true, All: true}},
	} {
		p := &policy.Profile{Name: "p", Bindings: tc.bindings, FailClosed: true}
		got := RedirectFor(p, map[string]*policy.Destination{"ns/shop": shop()}, policy.Location{})
		if d := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Where the cluster refuses connections by itself, because a Service has no endpoint of the family that was called, it is left to.
func TestServicesWithoutEndpointsAreNotRedirected(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.96.0.7"), netip.MustParseAddr("fd00::7")
	for name, tc := range map[string]struct {
		endpoints []netip.AddrPort
		want      []netip.AddrPort
	}{
		"none":      {nil, nil},
		"IPv4 only": {[]netip.AddrPort{addr("10.1.0.1:8080")}, []netip.AddrPort{addr("10.96.0.7:80")}},
		"IPv6 only": {[]netip.AddrPort{addr("[fd01::1]:8080")}, []netip.AddrPort{addr("[fd00::7]:80")}},
		"both": {
			[]netip.AddrPort{addr("10.1.0.1:8080"), addr("[fd01::1]:8080")}, []netip.AddrPort{addr("10.96.0.7:80"), addr("[fd00::7]:80")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			snap := snapshot(binding("s", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}))
			snap.Destinations["ns/shop"] = &policy.Destination{
				Name: "ns/shop", ClusterIPs: []netip.Addr{v4, v6}, Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(tc.endpoints...)}},
			}
			want := intent.Redirect{Addrs: slices.Concat(tc.want, tc.endpoints)}
			got := RedirectFor(snap.Profiles["p"], snap.Destinations, policy.Location{})
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
				t.Error(d)
			}
			closed := *snap.Profiles["p"]
			closed.FailClosed = true
			var unserved []netip.AddrPort
			for _, ip := range []netip.Addr{v4, v6} {
				if a := netip.AddrPortFrom(ip, 80); !slices.Contains(tc.want, a) {
					unserved = append(unserved, a)
				}
			}
			want.FailClosed, want.Unserved = true, unserved
			if d := cmp.Diff(want, RedirectFor(&closed, snap.Destinations, policy.Location{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
				t.Errorf("failing closed: %s", d)
			}
			s := newTable(t)
			install(t, s, snap)
			for _, original := range []netip.AddrPort{addr("10.96.0.7:80"), addr("[fd00::7]:80")} {
				// Should somebody else's redirect bring such a connection, it is the Service's own binding that governs it.
				if len(s.PodRoutes("a").Candidates(original)) == 0 {
					t.Errorf("%v is not governed", original)
				}
			}
		})
	}
}
