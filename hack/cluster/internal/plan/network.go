// Package plan works out what a cluster consists of: its addresses, its machines, their programs
// and configuration. It is pure but for writing the files of a plan; it starts nothing.
package plan

import (
	"net/netip"
)

// MaxIndex is the number of clusters that fit beside each other on one host.
const MaxIndex = 100

// Layout of a cluster's IPv4 range 10.(100+index).0.0/16 and IPv6 range fdfa:1ead:(index)::/48:
//
//	nodes     10.x.0.0/24     …:0::/64     host .1, node k .10+k
//	services  10.x.16.0/20    …:1::/112    DNS .10
//	pods      10.x.128.0/17   …:100::/56   node k: third byte 128+k, fourth group 100+k (hexadecimal)
const (
	firstOctet     = 100
	servicesOctet  = 16
	podsOctet      = 128
	firstNodeHost  = 10
	hostHost       = 1
	apiServiceHost = 1
	dnsServiceHost = 10
)

// Network is the address plan of one cluster.
type Network struct {
	Index     int
	DualStack bool
}

// Range4 is everything the cluster uses of IPv4.
func (n Network) Range4() netip.Prefix { return netip.PrefixFrom(n.ip4(0, 0), 16) }

// Range6 is everything the cluster uses of IPv6.
func (n Network) Range6() netip.Prefix { return netip.PrefixFrom(n.ip6(0, 0), 48) }

// Ranges are all of them.
func (n Network) Ranges() []netip.Prefix { return n.prefixes(n.Range4(), n.Range6()) }

// Host are the host's addresses in the cluster's network.
func (n Network) Host() []netip.Prefix {
	return n.prefixes(netip.PrefixFrom(n.ip4(0, hostHost), 24), netip.PrefixFrom(n.ip6(0, hostHost), 64))
}

// Node are the addresses of node k, counted from 1.
func (n Network) Node(k int) []netip.Prefix {
	host := byte(firstNodeHost + k)
	return n.prefixes(netip.PrefixFrom(n.ip4(0, host), 24), netip.PrefixFrom(n.ip6(0, host), 64))
}

// Services are the ranges of cluster IPs.
func (n Network) Services() []netip.Prefix {
	return n.prefixes(netip.PrefixFrom(n.ip4(servicesOctet, 0), 20), netip.PrefixFrom(n.ip6(1, 0), 112))
}

// APIService are the first addresses of the service ranges: those of Service default/kubernetes.
func (n Network) APIService() []netip.Addr { return n.service(apiServiceHost) }

// DNSService are the addresses of Service kube-system/kube-dns.
func (n Network) DNSService() []netip.Addr { return n.service(dnsServiceHost) }

func (n Network) service(host byte) []netip.Addr {
	return addrs(n.prefixes(netip.PrefixFrom(n.ip4(servicesOctet, host), 32), netip.PrefixFrom(n.ip6(1, host), 128)))
}

// Pods are the ranges of all pods.
func (n Network) Pods() []netip.Prefix {
	return n.prefixes(netip.PrefixFrom(n.ip4(podsOctet, 0), 17), netip.PrefixFrom(n.ip6(0x100, 0), 56))
}

// NodePods are the ranges of the pods on node k.
func (n Network) NodePods(k int) []netip.Prefix {
	return n.prefixes(netip.PrefixFrom(n.ip4(podsOctet+byte(k), 0), 24), netip.PrefixFrom(n.ip6(0x100+uint16(k), 0), 64))
}

func (n Network) ip4(third, fourth byte) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(firstOctet + n.Index), third, fourth})
}

func (n Network) ip6(subnet uint16, host byte) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0xfd, 0xfa, 0x1e, 0xad, 0, byte(n.Index), byte(subnet >> 8), byte(subnet), 15: host,
	})
}

func (n Network) prefixes(v4, v6 netip.Prefix) []netip.Prefix {
	if n.DualStack {
		return []netip.Prefix{v4, v6}
	}
	return []netip.Prefix{v4}
}

func addrs(ps []netip.Prefix) []netip.Addr {
	out := make([]netip.Addr, len(ps))
	for i, p := range ps {
		out[i] = p.Addr()
	}
	return out
}
