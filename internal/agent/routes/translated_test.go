package routes

import (
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// Where the node translates, an endpoint's address says nothing about what the client called; the request does.
func TestRule40_CallsToEndpointsOfAService(t *testing.T) {
	named := func(clusterIPs ...netip.Addr) *policy.Destination {
		d := shop()
		d.ClusterIPs = clusterIPs
		d.Hostnames = []string{"shop", "shop.ns", "shop.ns.svc", "shop.ns.svc.cluster.local"}
		d.Ports[0].Endpoints = policy.Ready(addr("10.1.0.1:8080"), addr("[fd01::1]:8080"))
		return d
	}
	four, six := netip.MustParseAddr("10.96.0.7"), netip.MustParseAddr("fd96::7")
	for name, tc := range map[string]struct {
		d        *policy.Destination
		four     bool // the node translates IPv4
		six      bool
		original string
		host     string
		pinned   bool
	}{
		"by its name":                  {named(four), true, false, "10.1.0.1:8080", "shop", false},
		"by its longest name":          {named(four), true, false, "10.1.0.1:8080", "SHOP.ns.svc.cluster.local.:80", false},
		"by its address":               {named(four), true, false, "10.1.0.1:8080", "10.96.0.7:80", false},
		"by its IPv6 address":          {named(four, six), false, true, "[fd01::1]:8080", "[FD96:0::7]:80", false},
		"by the endpoint's address":    {named(four), true, false, "10.1.0.1:8080", "10.1.0.1:8080", true},
		"by a pod's name":              {named(four), true, false, "10.1.0.1:8080", "shop-0.shops.ns.svc", true},
		"by a name of the world's":     {named(four), true, false, "10.1.0.1:8080", "shop.example", true},
		"by no name":                   {named(four), true, false, "10.1.0.1:8080", "", true},
		"headless":                     {named(), true, true, "10.1.0.1:8080", "shop", true},
		"headless in this family":      {named(six), true, true, "10.1.0.1:8080", "shop", true},
		"not translated":               {named(four), false, false, "10.1.0.1:8080", "shop", true},
		"translated in another family": {named(four, six), false, true, "10.1.0.1:8080", "shop", true},
		"the cluster IP itself":        {named(four), true, false, "10.96.0.7:80", "shop.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTable(t)
			snap := snapshot(binding("shop", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}))
			snap.Destinations["ns/shop"] = tc.d
			install(t, s, snap)
			s.SetTranslated(tc.four, tc.six)
			all := s.PodRoutes("a").Candidates(addr(tc.original))
			if len(all) != 1 {
				t.Fatalf("%d candidates", len(all))
			}
			if got := all[0].PinnedFor(AppendHost(nil, []byte(tc.host))); got != tc.pinned {
				t.Errorf("pinned %v, want %v", got, tc.pinned)
			}
			if !all[0].DependsOnHost() && !tc.pinned && all[0].Pinned {
				t.Error("the host decides, and is not looked at")
			}
		})
	}
}

// Addresses in blocks and of hosts are the client's choice wherever it runs.
func TestTranslationConcernsServicesAlone(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(binding("block", policy.Target{Kind: policy.TargetCIDR, Block: netip.MustParsePrefix("10.1.0.0/16")})))
	s.SetTranslated(true, true)
	if c := s.PodRoutes("a").Candidates(addr("10.1.0.1:8080")); len(c) != 1 || !c[0].PinnedFor([]byte("shop")) || c[0].DependsOnHost() {
		t.Errorf("%+v", c)
	}
}
