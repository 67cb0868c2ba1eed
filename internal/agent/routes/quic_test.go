package routes

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

// What is rejected is as narrow as addresses and ports can say.
//
//enforces:agent udp443
func TestRejectedQUIC(t *testing.T) {
	block, hole := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("203.0.113.7/32")
	secure := shop()
	secure.Ports[0].Port = 443
	blocks := func(all ...intent.Block) intent.QUIC { return intent.QUIC{Blocks: all} }
	for name, tc := range map[string]struct {
		to   policy.Target
		want intent.QUIC
	}{
		"a host":                     {policy.Target{Kind: policy.TargetHost, Host: "a.example"}, intent.QUIC{All: true}},
		"a host on another port":     {policy.Target{Kind: policy.TargetHost, Host: "a.example", Ports: []uint16{8443}}, intent.QUIC{}},
		"anything":                   {policy.Target{Kind: policy.TargetAny}, intent.QUIC{All: true}},
		"anything on another port":   {policy.Target{Kind: policy.TargetAny, Ports: []uint16{80}}, intent.QUIC{}},
		"a block":                    {policy.Target{Kind: policy.TargetCIDR, Block: block, Except: []netip.Prefix{hole}}, blocks(intent.Block{Prefix: block, Except: []netip.Prefix{hole}})},
		"a block on another port":    {policy.Target{Kind: policy.TargetCIDR, Block: block, Ports: []uint16{5432}}, intent.QUIC{}},
		"a Service":                  {policy.Target{Kind: policy.TargetService, Service: "ns/secure"}, blocks(intent.Block{Prefix: netip.MustParsePrefix("10.96.0.7/32")})},
		"a Service without the port": {policy.Target{Kind: policy.TargetService, Service: "ns/shop"}, intent.QUIC{}},
		"an unknown Service":         {policy.Target{Kind: policy.TargetService, Service: "ns/none"}, intent.QUIC{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := binding("k", tc.to)
			b.RejectQUIC = true
			destinations := map[string]*policy.Destination{"ns/shop": shop(), "ns/secure": secure}
			got := RedirectFor(&policy.Profile{Bindings: []policy.Binding{b}}, destinations, policy.Location{})
			if diff := cmp.Diff(tc.want, got.RejectQUIC, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			b.RejectQUIC = false
			got = RedirectFor(&policy.Profile{Bindings: []policy.Binding{b}}, destinations, policy.Location{})
			if !got.RejectQUIC.Equal(intent.QUIC{}) {
				t.Errorf("%+v is rejected without being asked for", got.RejectQUIC)
			}
		})
	}
}
