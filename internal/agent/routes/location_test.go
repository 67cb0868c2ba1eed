package routes

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// on returns a Service whose endpoints run on nodes 1 and 2, and are hinted for zones a and b.
func on(local bool) *policy.Destination {
	d := shop()
	d.LocalOnly = local
	d.Ports = d.Ports[:1]
	for i, node := range []string{"node-1", "node-2"} {
		e := &d.Ports[0].Endpoints[i]
		if local {
			e.Node = node
		} else {
			e.ForZones = []string{[]string{"a", "b"}[i]}
		}
	}
	return d
}

// located returns a snapshot of a node in a zone.
func located(zone string, d *policy.Destination) *policy.Snapshot {
	snap := snapshot(binding("shop", policy.Target{Kind: policy.TargetService, Service: "ns/shop"}))
	for _, w := range snap.Workloads {
		w.Zone = zone
	}
	snap.Destinations["ns/shop"] = d
	return snap
}

func tableOn(t *testing.T, node string) *Table {
	t.Helper()
	s, err := New(Options{Node: node, Dialer: func(string) upstream.Dialer { return noDialer{} }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Calls to a cluster IP are spread over the endpoints of the node, which follow the Service and the node's zone.
func TestRule40_EndpointsAreThoseOfTheNode(t *testing.T) {
	for name, tc := range map[string]struct {
		node, zone string
		local      bool
		want       []netip.AddrPort
	}{
		"local":                 {"node-2", "", true, []netip.AddrPort{addr("10.1.0.2:8080")}},
		"local, none here":      {"node-3", "", true, nil},
		"hinted":                {"node-3", "a", false, []netip.AddrPort{addr("10.1.0.1:8080")}},
		"no hint for this zone": {"node-3", "c", false, []netip.AddrPort{addr("10.1.0.1:8080"), addr("10.1.0.2:8080")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := tableOn(t, tc.node)
			install(t, s, located(tc.zone, on(tc.local)))
			got := s.PodRoutes("a").profile.bindings[0].endpoints["ns/shop:80"]
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("the zone becomes known", func(t *testing.T) {
		s, d := tableOn(t, "node-1"), on(false)
		install(t, s, located("", d))
		former := s.PodRoutes("a")
		install(t, s, located("b", d))
		if got := s.PodRoutes("a").profile.bindings[0].endpoints["ns/shop:80"]; len(got) != 1 || got[0] != addr("10.1.0.2:8080") {
			t.Errorf("endpoints %v", got)
		}
		if s.PodRoutes("a") == former {
			t.Error("pods have the routes of another zone")
		}
	})
}

// A cluster IP without endpoints on this node is left to the cluster, which drops calls to it. Clients may still call the endpoints of other
// nodes by their own addresses.
func TestRule40_WhatComesToAnAgentOfAServiceThatIsLocalOnly(t *testing.T) {
	for node, want := range map[string][]netip.AddrPort{
		"node-1": {addr("10.96.0.7:80"), addr("10.1.0.1:8080"), addr("10.1.0.2:8080")},
		"node-3": {addr("10.1.0.1:8080"), addr("10.1.0.2:8080")},
	} {
		snap := located("", on(true))
		got := RedirectFor(snap.Profiles["p"], snap.Destinations, policy.Location{Node: node})
		if diff := cmp.Diff(want, got.Addrs, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("%s: %s", node, diff)
		}
	}
	s := tableOn(t, "node-1")
	install(t, s, located("", on(true)))
	if c := s.PodRoutes("a").Candidates(addr("10.1.0.2:8080")); len(c) != 1 || !c[0].Pinned {
		t.Errorf("an endpoint of another node, called by its own address: %+v", c)
	}
}
