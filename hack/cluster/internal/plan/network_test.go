package plan

import (
	"net/netip"
	"testing"
)

func TestRangesOfAClusterAreDisjoint(t *testing.T) {
	n := Network{Index: 7, DualStack: true}
	parts := [][]netip.Prefix{masked(n.Host()), n.Services(), n.NodePods(1), n.NodePods(2), n.NodePods(9)}
	for family, whole := range n.Ranges() {
		for i, a := range parts {
			if !whole.Overlaps(a[family]) || whole.Bits() > a[family].Bits() {
				t.Errorf("%s is not inside %s", a[family], whole)
			}
			for _, b := range parts[:i] {
				if a[family].Overlaps(b[family]) {
					t.Errorf("%s and %s overlap", a[family], b[family])
				}
			}
		}
		if pods := n.Pods()[family]; !pods.Contains(n.NodePods(9)[family].Addr()) || pods.Overlaps(n.Services()[family]) {
			t.Errorf("pods' range %s", pods)
		}
		if !n.Services()[family].Contains(n.DNSService()[family]) {
			t.Errorf("DNS at %s is outside the services' range", n.DNSService()[family])
		}
		if !masked(n.Host())[family].Contains(n.Node(9)[family].Addr()) {
			t.Errorf("node 9 at %s does not reach the host", n.Node(9)[family])
		}
	}
}

func TestClustersDoNotOverlap(t *testing.T) {
	for i := range MaxIndex {
		for j := range i {
			a, b := Network{Index: i, DualStack: true}.Ranges(), Network{Index: j, DualStack: true}.Ranges()
			if a[0].Overlaps(b[0]) || a[1].Overlaps(b[1]) {
				t.Errorf("clusters %d and %d overlap: %v, %v", i, j, a, b)
			}
		}
	}
}

func TestWithoutIPv6(t *testing.T) {
	c := Cluster{Name: "a", Dir: "/a", Nodes: 3, Runtimes: []Runtime{{Containerd: "/usr/bin/containerd"}}, Network: Network{Index: 1}}
	for _, m := range c.Spec().Machines {
		for _, r := range m.Routes {
			if r.Via.Is6() || r.Destination.Addr().Is6() {
				t.Errorf("%s has the route %v", m.Name, r)
			}
		}
		if len(m.Addresses) != 1 {
			t.Errorf("%s has addresses %v", m.Name, m.Addresses)
		}
	}
}

func TestTracesOnTheHostDifferBetweenStateDirectories(t *testing.T) {
	a := Cluster{Name: "same", Dir: "/home/a/same"}
	b := Cluster{Name: "same", Dir: "/home/b/same"}
	if a.Link().Name == b.Link().Name || a.Cgroup() == b.Cgroup() {
		t.Errorf("link %s, cgroup %s twice", a.Link().Name, a.Cgroup())
	}
	const longestLinkName = 15 // IFNAMSIZ - 1
	if name := a.Link().Peer(); len(name) > longestLinkName {
		t.Errorf("link name %s is too long", name)
	}
}

func masked(ps []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(ps))
	for i, p := range ps {
		out[i] = p.Masked()
	}
	return out
}
