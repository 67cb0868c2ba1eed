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
		{Mode: policy.ModeEnforce, To: policy.Target{Kind: policy.TargetCIDR, Block: netip.MustParsePrefix("10.0.0.0/8")}, Merged: []policy.ID{id("block")}},
		{Mode: policy.ModeDryRun, To: policy.Target{Kind: policy.TargetAny}, Merged: []policy.ID{id("dry")}},
	}}
	govern := claims(p, map[string]*policy.Destination{"shop/cart": {
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ports:      []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(netip.MustParseAddrPort("10.0.0.2:8080"))}},
	}}, policy.Location{})().Governing
	for to, want := range map[string][]policy.ID{
		"10.0.0.1:80":    {id("all"), id("host"), id("service")},
		"10.0.0.2:8080":  {id("all"), id("service")},
		"10.0.0.3:80":    {id("block"), id("host")},
		"10.0.0.3:81":    {id("block")},
		"192.0.2.1:80":   {id("dry"), id("host")},
		"192.0.2.1:5432": {id("dry")},
	} {
		if diff := cmp.Diff(want, govern(netip.MustParseAddrPort(to))); diff != "" {
			t.Errorf("%s: %s", to, diff)
		}
	}
}

// TestWhatIsUnchangedKeepsItsLists: and is distinguished from what has changed.
func TestWhatIsUnchangedKeepsItsLists(t *testing.T) {
	snapshot := func(port uint16) *policy.Snapshot {
		profile := func(name string, port uint16) *policy.Profile {
			return &policy.Profile{Name: name, Bindings: []policy.Binding{
				{Mode: policy.ModeEnforce, To: policy.Target{Kind: policy.TargetHost, Ports: []uint16{port}}}}}
		}
		return &policy.Snapshot{Profiles: map[string]*policy.Profile{"kept": profile("kept", 80), "edited": profile("edited", port)},
			Workloads: map[string]*policy.Workload{"a": {Profile: "kept"}, "b": {Profile: "edited"}, "c": {Profile: "none"}}}
	}
	before, redirects := desired(snapshot(80), "node", nil)
	after, _ := desired(snapshot(81), "node", redirects)
	if len(after) != 2 || &after["a"].Redirect.Ports[0] != &before["a"].Redirect.Ports[0] {
		t.Errorf("%+v after %+v, want the lists of what is unchanged to be the same", after, before)
	}
	if got := after["b"].Redirect.Ports; len(got) != 1 || got[0] != 81 {
		t.Errorf("the edited profile redirects ports %v", got)
	}
}
