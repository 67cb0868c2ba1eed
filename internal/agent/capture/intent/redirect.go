package intent

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Redirect says which of a pod's new TCP connections are redirected. It is as narrow as the pod's policies allow; the kernel
// sends everything else its normal way. The zero Redirect captures nothing. Order and repetition do not matter.
//
// Whatever it says, connections to the pod's own addresses (loopback included), to link-local addresses of IPv6, which mean nothing
// without an interface, and those that carry the agent's mark are left alone.
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
	// Unserved are exact destinations behind which there is nobody: cluster IPs of Services without endpoints. While the agent is there
	// they are left alone, so that connections to them are refused by whoever refuses them without it. Once it is gone they are
	// redirected as Addrs are, as somebody may be behind them by then. They mean nothing without FailClosed.
	Unserved []netip.AddrPort
	// RejectQUIC says which new flows of QUIC are rejected while the agent is there, so that clients go on with TCP; once it is gone they are
	// under FailClosed alone.
	RejectQUIC QUIC
}

// QUICPort is the port of UDP on which QUIC is looked for.
const QUICPort = 443

// QUIC says which flows are meant, by their destinations. The zero QUIC means none.
type QUIC struct {
	// All: wherever they go.
	All bool
	// Blocks are address blocks, without ports.
	Blocks []Block
}

// Block is an address block with holes, on some ports or all.
type Block struct {
	Prefix netip.Prefix
	// Except are blocks inside Prefix that are not captured; at most MaxExcepts.
	Except []netip.Prefix
	// Ports limits the block; empty means every port.
	Ports []uint16
}

// Bounds of one Redirect, far above what policies can say, so that a mistake elsewhere cannot fill the kernel.
const (
	MaxAddrs   = 1 << 16
	MaxBlocks  = 1024
	MaxExcepts = 32
)

// ErrInvalid says that a Redirect cannot be installed as it is; trying again does not help.
var ErrInvalid = errors.New("invalid redirect")

// Normal returns r in the one form it has: sorted, without repetition and without what it says twice. Two Redirects that
// capture the same and write it in the same way have equal normal forms.
func (r Redirect) Normal() (Redirect, error) {
	n := Redirect{All: r.All, FailClosed: r.FailClosed}
	var err error
	if n.RejectQUIC, err = r.RejectQUIC.normal(); err != nil || n.All {
		return n, err
	}
	if len(r.Addrs)+len(r.Unserved) > MaxAddrs || len(r.Blocks) > MaxBlocks {
		return n, fmt.Errorf("%w: %d addresses and %d blocks, at most %d and %d are possible", ErrInvalid, len(r.Addrs)+len(r.Unserved),
			len(r.Blocks), MaxAddrs, MaxBlocks)
	}
	if n.Addrs, err = normalAddrs(r.Addrs); err != nil {
		return n, err
	}
	if r.FailClosed {
		if n.Unserved, err = normalAddrs(r.Unserved); err != nil {
			return n, err
		}
	}
	n.Ports = sorted(r.Ports, cmp.Compare[uint16])
	n.Blocks, err = normalBlocks(r.Blocks)
	return n, err
}

func normalBlocks(blocks []Block) (out []Block, err error) {
	for _, b := range blocks {
		normal, err := b.normal()
		if err != nil {
			return nil, err
		}
		out = append(out, normal)
	}
	slices.SortFunc(out, Block.compare)
	return slices.CompactFunc(out, func(a, b Block) bool { return a.compare(b) == 0 }), nil
}

func (q QUIC) normal() (QUIC, error) {
	if q.All {
		return QUIC{All: true}, nil
	}
	if len(q.Blocks) > MaxBlocks {
		return q, fmt.Errorf("%w: %d blocks for QUIC, at most %d are possible", ErrInvalid, len(q.Blocks), MaxBlocks)
	}
	blocks, err := normalBlocks(q.Blocks)
	return QUIC{Blocks: blocks}, err
}

// Equal reports whether q and o are the same as they are written.
func (q QUIC) Equal(o QUIC) bool { return q.All == o.All && SameBlocks(q.Blocks, o.Blocks) }

// MayMeetQUIC reports whether calls that r redirects could also be made over QUIC: some of what it redirects goes to QUICPort of addresses
// that are not those of Services, or flows are rejected.
func (r Redirect) MayMeetQUIC() bool {
	return r.All || r.RejectQUIC.All || len(r.RejectQUIC.Blocks) > 0 || slices.Contains(r.Ports, QUICPort) ||
		slices.ContainsFunc(r.Blocks, func(b Block) bool { return len(b.Ports) == 0 || slices.Contains(b.Ports, QUICPort) })
}

func normalAddrs(addrs []netip.AddrPort) ([]netip.AddrPort, error) {
	var normal []netip.AddrPort
	for _, a := range addrs {
		if !a.IsValid() || a.Port() == 0 {
			return nil, fmt.Errorf("%w: address %s", ErrInvalid, a)
		}
		normal = append(normal, netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
	}
	return sorted(normal, netip.AddrPort.Compare), nil
}

func (b Block) normal() (Block, error) {
	if !b.Prefix.IsValid() || len(b.Except) > MaxExcepts {
		return b, fmt.Errorf("%w: block %s with %d exceptions, at most %d are possible", ErrInvalid, b.Prefix, len(b.Except), MaxExcepts)
	}
	n := Block{Prefix: b.Prefix.Masked()}
	for _, e := range b.Except {
		if !e.IsValid() || e.Addr().Is4() != b.Prefix.Addr().Is4() {
			return b, fmt.Errorf("%w: exception %s of block %s", ErrInvalid, e, b.Prefix)
		}
		n.Except = append(n.Except, e.Masked())
	}
	n.Except = sorted(n.Except, netip.Prefix.Compare)
	n.Ports = sorted(b.Ports, cmp.Compare[uint16])
	return n, nil
}

func (b Block) compare(o Block) int {
	return cmp.Or(b.Prefix.Compare(o.Prefix), slices.CompareFunc(b.Except, o.Except, netip.Prefix.Compare), slices.Compare(b.Ports, o.Ports))
}

// Empty reports whether r captures nothing, with the agent or without.
func (r Redirect) Empty() bool {
	return !r.All && len(r.Addrs) == 0 && len(r.Blocks) == 0 && len(r.Ports) == 0 && (len(r.Unserved) == 0 || !r.FailClosed)
}

// Equal reports whether two Redirects are the same as they are written; those in normal form do if they say the same.
func (r Redirect) Equal(o Redirect) bool {
	return r.All == o.All && r.FailClosed == o.FailClosed && same(r.Addrs, o.Addrs) && same(r.Ports, o.Ports) && same(r.Unserved, o.Unserved) &&
		SameBlocks(r.Blocks, o.Blocks) && r.RejectQUIC.Equal(o.RejectQUIC)
}

// same compares lists; where they are one list, which those of pods under the same policies are, at once.
func same[T comparable](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// SameBlocks compares lists of blocks in their order.
func SameBlocks(a, b []Block) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.EqualFunc(a, b, func(x, y Block) bool { return x.compare(y) == 0 }))
}

func sorted[T comparable](in []T, compare func(a, b T) int) []T {
	out := slices.Clone(in)
	slices.SortFunc(out, compare)
	return slices.Compact(out)
}
