package capture

import "net/netip"

// Redirect says which of a pod's new TCP connections come to the agent. It is as narrow as the pod's policies allow; the
// kernel sends everything else its normal way. The zero Redirect captures nothing. Order and repetition do not matter.
//
// Whatever it says, connections to the pod's own addresses (loopback included) and those the agent itself opens are left alone.
type Redirect struct {
	// Addrs are exact destinations: cluster IPs and endpoints of Services, each with its port.
	Addrs []netip.AddrPort
	// Blocks are address blocks.
	Blocks []Block
	// Ports are destination ports on any address, for policies that name a host.
	Ports []uint16
	// All captures every TCP connection.
	All bool
	// FailClosed keeps the kernel redirecting when the agent is gone, so new connections are refused instead of going direct.
	FailClosed bool
}

// Block is an address block with holes, on some ports or all.
type Block struct {
	Prefix netip.Prefix
	// Except are blocks inside Prefix that are not captured; at most MaxExcepts.
	Except []netip.Prefix
	// Ports limits the block; empty means every port.
	Ports []uint16
}
