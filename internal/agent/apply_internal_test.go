package agent

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
)

// TestWhichPoliciesWouldGovern: by the address alone, a policy for a host may or may not, and one for a Service or a block does.
func TestWhichPoliciesWouldGovern(t *testing.T) {
	id := func(name string) policy.ID { return policy.ID{Namespace: "shop", Name: name} }
	p := &policy.Profile{Bindings: []policy.Binding{
		{Mode: policy.ModeEnforce, To: policy.Target{Kind: policy.TargetHost, Ports: []uint16{80}}, Merged: []policy.ID{id("host")}},
		{Mode: policy.ModeEnforce, To: policy.Target{Kind: policy.TargetService, Service: "shop/cart"}, Merged: []policy.ID{id("service"), id("all")}},
		{Mode: policy.ModeDryRun, To: policy.Target{Kind: policy.TargetAny}, Merged: []policy.ID{id("dry")}},
		{Mode: policy.ModeEnforce, To: policy.Target{Kind: policy.TargetCIDR, Block: netip.MustParsePrefix("10.0.0.0/8")}, Merged: []policy.ID{id("block")}},
	}}
	govern := governing(p, map[string]*policy.Destination{"shop/cart": {
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ports:      []policy.DestinationPort{{Port: 80, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:8080")}}},
	}})
	for to, want := range map[string][]policy.ID{
		"10.0.0.1:80":    {id("all"), id("host"), id("service")},
		"10.0.0.2:8080":  {id("all"), id("service")},
		"10.0.0.3:80":    {id("block"), id("host")},
		"10.0.0.3:81":    {id("block")},
		"192.0.2.1:80":   {id("host")},
		"192.0.2.1:5432": nil,
	} {
		if diff := cmp.Diff(want, govern(netip.MustParseAddrPort(to))); diff != "" {
			t.Errorf("%s: %s", to, diff)
		}
	}
}
