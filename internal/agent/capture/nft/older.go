package nft

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Older lists the destinations of the pod's open connections that r redirects and that are not redirected, once per connection: they were
// made before, or while there was no lease. Those that end in the pod are none, whoever has accepted them: the agent, or another proxy,
// whose own connections count. It walks over all sockets of the node.
func (t *Table) Older(r Redirect) ([]netip.AddrPort, error) {
	normal, err := r.Normal()
	if err != nil || !normal.captures() {
		return nil, err
	}
	var candidates []flow
	accepted := make(map[netip.AddrPort]bool) // where connections come from that are redirected to somebody in the pod
	served := make(map[uint16]bool)           // ports at which the pod is called rather than calls
	err = eachSocket(t.ns, established|listening, 0, func(answer []byte) {
		f := diagFlow(answer)
		switch {
		case answer[1] != 1: // TCP_ESTABLISHED
			served[f.from.Port()] = true
		case f.from.Addr().IsLoopback():
			accepted[f.to] = true
		case markOf(answer) != t.options.Mark && f.from.Addr() != f.to.Addr() && t.covers(normal, f.to):
			candidates = append(candidates, f)
		}
	})
	var older []netip.AddrPort
	for _, f := range candidates {
		if !accepted[f.from] && !served[f.from.Port()] {
			older = append(older, f.to)
		}
	}
	return older, err
}

// covers says whether a connection to an address would be redirected by the normal form r.
func (t *Table) covers(r Redirect, to netip.AddrPort) bool {
	if a := to.Addr(); a.IsLoopback() || a.Is6() && (!t.options.IPv6 || linkLocal6.Contains(a)) {
		return false
	}
	return r.Covers(to)
}

// Covers says whether the normal form r captures connections to an address, as far as that depends on the address.
func (r Redirect) Covers(to netip.AddrPort) bool {
	if r.All {
		return true
	}
	if _, found := slices.BinarySearchFunc(r.Addrs, to, netip.AddrPort.Compare); found {
		return true
	}
	if _, found := slices.BinarySearch(r.Ports, to.Port()); found {
		return true
	}
	return slices.ContainsFunc(r.Blocks, func(b Block) bool {
		within := func(p netip.Prefix) bool { return p.Contains(to.Addr()) }
		return within(b.Prefix) && !slices.ContainsFunc(b.Except, within) && (len(b.Ports) == 0 || slices.Contains(b.Ports, to.Port()))
	})
}

// markOf is the mark of the socket that an answer is about; the kernel tells it to those who may set it.
func markOf(answer []byte) uint32 {
	const inetDiagMark = 15 // INET_DIAG_MARK of linux/inet_diag.h
	if mark := attribute(answer[answerSize:], inetDiagMark); len(mark) == 4 {
		return binary.NativeEndian.Uint32(mark)
	}
	return 0
}

// Own says whether a connection that the agent has accepted is one that the agent has made, which somebody in the pod has sent back.
func (t *Table) Own(conn *net.TCPConn, original netip.AddrPort) (bool, error) {
	fd, err := openRaw(t.ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(fd) }()
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	question := netlink.Message{Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data: diagExact(flow{from: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), to: original})}
	if err := unix.Send(fd, marshal([]netlink.Message{question}), 0); err != nil {
		return false, os.NewSyscallError("send", err)
	}
	var buffer [1024]byte
	n, _, err := unix.Recvfrom(fd, buffer[:], unix.MSG_DONTWAIT) // the kernel has answered when send returns
	if err != nil {
		return false, os.NewSyscallError("recvfrom", err)
	}
	answer := buffer[:n]
	if n < unix.SizeofNlMsghdr+answerSize || binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		return false, nil // it has gone, or what it was on its way to is not known
	}
	return markOf(answer[unix.SizeofNlMsghdr:]) == t.options.Mark, nil
}

// diagExact asks for one socket by its ends.
func diagExact(f flow) []byte {
	family := byte(unix.AF_INET)
	if f.from.Addr().Is6() {
		family = unix.AF_INET6
	}
	request := diagRequest(family, anyState, f.from.Port())
	binary.BigEndian.PutUint16(request[10:], f.to.Port())
	copy(request[12:28], f.from.Addr().AsSlice())
	copy(request[28:44], f.to.Addr().AsSlice())
	for i := 48; i < requestSize; i++ {
		request[i] = 0xff // whatever its cookie
	}
	return request
}
