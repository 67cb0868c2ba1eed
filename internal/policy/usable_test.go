package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// at parses endpoints as the tables below write them: an address and, behind it, facts: "ending", "node=a", "nodes=a+b", "zones=a+b".
func at(t *testing.T, text string) Endpoint {
	t.Helper()
	fields := strings.Fields(text)
	e := Endpoint{Addr: netip.MustParseAddrPort(fields[0])}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "ending":
			e.Terminating = true
		case "node":
			e.Node = value
		case "nodes":
			e.ForNodes = strings.Split(value, "+")
		case "zones":
			e.ForZones = strings.Split(value, "+")
		default:
			t.Fatalf("fact %q", f)
		}
	}
	return e
}

// The cases are those of kube-proxy's TestCategorizeEndpoints and TestTopologyModeFromHints, and the families on top of them.
func TestRule40_UsableEndpoints(t *testing.T) {
	here := Location{Node: "node-1", Zone: "a"}
	type list []string
	for name, tc := range map[string]struct {
		local     bool
		from      Location
		endpoints list
		want      string // last bytes of the addresses
	}{
		"none":                            {false, here, nil, ""},
		"all ready ones":                  {false, here, list{"10.0.0.1:80", "10.0.0.2:80"}, "1 2"},
		"terminating ones are not wanted": {false, here, list{"10.0.0.1:80", "10.0.0.2:80 ending"}, "1"},
		"terminating ones if there is nothing else": {false, here, list{"10.0.0.1:80 ending", "10.0.0.2:80 ending"}, "1 2"},

		"those hinted for the zone":           {false, here, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b", "10.0.0.3:80 zones=c", "10.0.0.4:80 zones=a"}, "1 4"},
		"several zones in a hint":             {false, Location{"node-1", "c"}, list{"10.0.0.1:80 zones=a+b+c", "10.0.0.2:80 zones=b+c", "10.0.0.3:80 zones=b+d"}, "1 2"},
		"one without a hint":                  {false, here, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b", "10.0.0.3:80"}, "1 2 3"},
		"a terminating one without a hint":    {false, here, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b", "10.0.0.3:80 ending"}, "1"},
		"no hint for the zone":                {false, Location{"node-1", "z"}, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b"}, "1 2"},
		"a node without a zone":               {false, Location{"node-1", ""}, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b"}, "1 2"},
		"hinted for the zone and terminating": {false, here, list{"10.0.0.1:80 zones=a ending", "10.0.0.2:80 zones=b"}, "2"},

		"those hinted for the node":            {false, here, list{"10.0.0.1:80 nodes=node-1 zones=a", "10.0.0.2:80 nodes=node-2 zones=a"}, "1"},
		"no hint for the node, one for zone":   {false, here, list{"10.0.0.1:80 nodes=node-3 zones=a", "10.0.0.2:80 nodes=node-2 zones=b"}, "1"},
		"one without a hint for nodes":         {false, here, list{"10.0.0.1:80 nodes=node-1 zones=a", "10.0.0.2:80 zones=a", "10.0.0.3:80 nodes=node-3 zones=b"}, "1 2"},
		"hints for nodes alone, none for this": {false, here, list{"10.0.0.1:80 nodes=node-3", "10.0.0.2:80 nodes=node-2"}, "1 2"},

		"the node's own":                      {true, here, list{"10.0.0.1:80 node=node-1", "10.0.0.2:80 node=node-2"}, "1"},
		"none on the node":                    {true, here, list{"10.0.0.1:80 node=node-3", "10.0.0.2:80 node=node-2"}, ""},
		"a terminating one on the node":       {true, here, list{"10.0.0.1:80 node=node-1 ending", "10.0.0.2:80 node=node-2"}, "1"},
		"ready and terminating on the node":   {true, here, list{"10.0.0.1:80 node=node-1 ending", "10.0.0.2:80 node=node-1"}, "2"},
		"local, hints do not count":           {true, here, list{"10.0.0.1:80 node=node-1 zones=b", "10.0.0.2:80 node=node-2 zones=a"}, "1"},
		"local, an endpoint without a node":   {true, Location{}, list{"10.0.0.1:80", "10.0.0.2:80 node=node-2"}, ""},
		"local, of one family only":           {true, here, list{"10.0.0.1:80 node=node-1", "[fd00::2]:80 node=node-2"}, "1"},
		"local, ready in one family only":     {true, here, list{"10.0.0.1:80 node=node-1", "[fd00::2]:80 node=node-1 ending"}, "1 2"},
		"hints in one family only":            {false, here, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b", "[fd00::3]:80", "[fd00::4]:80"}, "1 3 4"},
		"for the zone in one family only":     {false, here, list{"10.0.0.1:80 zones=a", "10.0.0.2:80 zones=b", "[fd00::3]:80 zones=b", "[fd00::4]:80 zones=c"}, "1 3 4"},
		"terminating ones in one family only": {false, here, list{"10.0.0.1:80", "[fd00::2]:80 ending", "[fd00::3]:80 ending"}, "1 2 3"},
		"IPv6 alone":                          {false, here, list{"[fd00::1]:80", "[fd00::2]:80 ending"}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Destination{LocalOnly: tc.local}
			port := &DestinationPort{Port: 80}
			for _, text := range tc.endpoints {
				port.Endpoints = append(port.Endpoints, at(t, text))
			}
			got := d.Usable(port, tc.from)
			var last []string
			for _, a := range got {
				b := a.Addr().AsSlice()
				last = append(last, fmt.Sprint(b[len(b)-1]))
			}
			if s := strings.Join(last, " "); s != tc.want {
				t.Errorf("%q, want %q", s, tc.want)
			}
			for _, ip := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
				has := slices.ContainsFunc(got, func(a netip.AddrPort) bool { return a.Addr().Is4() == ip.Is4() })
				if serves := d.Serves(port, tc.from, ip); serves != has {
					t.Errorf("serves %s: %v, want %v", ip, serves, has)
				}
			}
		})
	}
}

// randomPort has endpoints of both families with facts drawn from few values, so that they often agree.
func randomPort(rng *rand.Rand) *DestinationPort {
	some := func() []string {
		var out []string
		for _, s := range []string{"a", "b"} {
			if rng.IntN(2) == 0 {
				out = append(out, s)
			}
		}
		return out
	}
	port := &DestinationPort{Port: 80}
	zones, nodes := rng.IntN(2) == 0, rng.IntN(2) == 0
	for i := range rng.IntN(6) {
		e := Endpoint{Terminating: rng.IntN(3) == 0, Node: []string{"", "a", "b"}[rng.IntN(3)]}
		if zones {
			e.ForZones = some()
		}
		if nodes {
			e.ForNodes = some()
		}
		e.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)
		if rng.IntN(3) == 0 {
			e.Addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 80)
		}
		port.Endpoints = append(port.Endpoints, e)
	}
	slices.SortFunc(port.Endpoints, func(a, b Endpoint) int { return a.Addr.Compare(b.Addr) })
	return port
}

// Whatever the Service says: endpoints are used if and only if the family has some for the node, and never a terminating one beside a ready
// one; wishes narrow the choice and never widen it.
func TestRule40_UsableEndpointsOfAnyService(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 20_000 {
		port, d := randomPort(rng), &Destination{LocalOnly: rng.IntN(3) == 0}
		from := Location{Node: []string{"a", "b", "c"}[rng.IntN(3)], Zone: []string{"", "a", "b", "c"}[rng.IntN(4)]}
		got := d.Usable(port, from)
		if !slices.IsSortedFunc(got, netip.AddrPort.Compare) {
			t.Fatalf("not sorted: %v", got)
		}
		for _, four := range []bool{true, false} {
			ready, ending, chosen := split(d, port, from, four, got)
			switch {
			case len(ready) > 0 && (len(chosen) == 0 || !subset(chosen, ready)),
				len(ready) == 0 && !slices.Equal(chosen, ending),
				d.LocalOnly && len(ready) > 0 && !slices.Equal(chosen, ready):
				t.Fatalf("IPv4 %v, %+v from %+v of %+v: %v", four, d, from, port.Endpoints, chosen)
			}
		}
	}
}

// split returns what may be used of one family, ready and terminating, and what is.
func split(d *Destination, port *DestinationPort, from Location, four bool, got []netip.AddrPort) (ready, ending, chosen []netip.AddrPort) {
	for i := range port.Endpoints {
		e := &port.Endpoints[i]
		switch {
		case e.Addr.Addr().Is4() != four, d.LocalOnly && e.Node != from.Node:
		case e.Terminating:
			ending = append(ending, e.Addr)
		default:
			ready = append(ready, e.Addr)
		}
	}
	for _, a := range got {
		if a.Addr().Is4() == four {
			chosen = append(chosen, a)
		}
	}
	return ready, ending, chosen
}

func subset(a, b []netip.AddrPort) bool {
	return !slices.ContainsFunc(a, func(x netip.AddrPort) bool { return !slices.Contains(b, x) })
}
