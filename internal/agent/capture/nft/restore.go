package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Mapping is a redirected connection as its caller sees it: where it comes from, and where it was on its way to.
type Mapping struct{ From, To netip.AddrPort }

// The kernel may be made to forget connections (conntrack -F, conntrack -D). What the agent sends on a connection that was redirected would
// then go out as what it is, from the agent's listener, and the caller would answer with a reset to the agent and wait for ever itself. A
// rule drops it instead, so that TCP sends it again, and whoever renews the lease asks about one connection at a time whether it
// is known still. If it is not, all are made known again, and go on.
//
// What the caller sends meanwhile goes to where the connection was on its way to, as for one that is older than its policy, from which
// it cannot be told. The server there knows nothing of it and resets it.

// Remembers says whether the kernel knows how to translate a redirected connection. It says so too when that cannot be told. It is called
// after Renew, by whoever renews.
func (t *Table) Remembers(m Mapping) bool {
	known, err := t.lease.remembers(m)
	return known || err != nil
}

func (l *lease) remembers(m Mapping) (bool, error) {
	asking := ctRequest(ctGet, 0, familyOfAddr(m.From.Addr()), []netlink.Attribute{tupleAttr(ctaTupleOriginal, m.From, m.To)})
	if err := unix.Send(l.fd, marshal([]netlink.Message{asking}), 0); err != nil {
		return false, os.NewSyscallError("send", err)
	}
	n, _, err := unix.Recvfrom(l.fd, l.answer[:], unix.MSG_DONTWAIT)
	if err != nil {
		return false, os.NewSyscallError("recvfrom", err)
	}
	answer := l.answer[:n]
	if n < unix.SizeofNlMsghdr || binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		err := acknowledgement(answer)
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		return false, err
	}
	found, err := parseTracked(answer[unix.SizeofNlMsghdr:])
	return found.translated, err
}

// Restore has the kernel know redirected connections again; those that it knows stay as they are. It says how many it did not know.
func (t *Table) Restore(all []Mapping) (int, error) {
	c, err := dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	restored := 0
	for _, m := range all {
		_, err := c.Execute(t.restoration(m))
		switch {
		case err == nil:
			restored++
		case !errors.Is(err, unix.EEXIST):
			return restored, fmt.Errorf("restore connection: %w", err)
		}
	}
	return restored, nil
}

// Of linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h and nf_conntrack_tcp.h.
const (
	ctNew = 0

	ctaNATDestination, ctaTimeout               = 13, 7
	ctaNATv4Min, ctaNATv4Max, ctaNATProto       = 1, 2, 3
	ctaNATv6Min, ctaNATv6Max                    = 4, 5
	ctaProtoNATPortMin, ctaProtoNATPortMax      = 1, 2
	ctaTCPState, ctaTCPFlagsThere, ctaTCPFlags  = 1, 4, 5
	tcpConntrackEstablished, tcpConntrackLoosen = 3, 0x08 // IP_CT_TCP_FLAG_BE_LIBERAL: what was sent meanwhile is not known
	seenAnswer, assured, confirmed              = 1 << 1, 1 << 2, 1 << 3

	// restoredFor is for how many seconds a connection is known that nothing is sent on. It is restored again if that was too short.
	restoredFor = 300
)

// restoration has the kernel know a connection as if it had redirected it just now and seen it established.
func (t *Table) restoration(m Mapping) netlink.Message {
	listener := []byte{127, 0, 0, 1}
	from, to := uint16(ctaNATv4Min), uint16(ctaNATv4Max)
	if m.From.Addr().Is6() {
		listener = append(make([]byte, size6-1), 1)
		from, to = ctaNATv6Min, ctaNATv6Max
	}
	port := binary.BigEndian.AppendUint16(nil, t.options.Port)
	flags := []byte{tcpConntrackLoosen, tcpConntrackLoosen}
	nested := func(kind uint16, list ...netlink.Attribute) netlink.Attribute {
		return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: attrs(list...)}
	}
	return ctRequest(ctNew, netlink.Acknowledge|netlink.Create|netlink.Excl, familyOfAddr(m.From.Addr()), []netlink.Attribute{
		tupleAttr(ctaTupleOriginal, m.From, m.To), tupleAttr(ctaTupleReply, m.To, m.From),
		number(ctaStatus, seenAnswer|assured|confirmed), number(ctaTimeout, restoredFor),
		nested(ctaNATDestination, netlink.Attribute{Type: from, Data: listener}, netlink.Attribute{Type: to, Data: listener},
			nested(ctaNATProto, netlink.Attribute{Type: ctaProtoNATPortMin, Data: port}, netlink.Attribute{Type: ctaProtoNATPortMax, Data: port})),
		nested(ctaProtoInfo, nested(ctaProtoInfoTCP, netlink.Attribute{Type: ctaTCPState, Data: []byte{tcpConntrackEstablished}},
			netlink.Attribute{Type: ctaTCPFlagsThere, Data: flags}, netlink.Attribute{Type: ctaTCPFlags, Data: flags})),
	})
}

// tupleAttr names one direction of a TCP connection.
func tupleAttr(kind uint16, from, to netip.AddrPort) netlink.Attribute {
	source, destination := uint16(1), uint16(2) // CTA_IP_V4_SRC, CTA_IP_V4_DST
	if from.Addr().Is6() {
		source, destination = 3, 4
	}
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: attrs(
		netlink.Attribute{Type: unix.NLA_F_NESTED | ctaTupleAddresses, Data: attrs(
			netlink.Attribute{Type: source, Data: from.Addr().AsSlice()}, netlink.Attribute{Type: destination, Data: to.Addr().AsSlice()})},
		netlink.Attribute{Type: unix.NLA_F_NESTED | ctaTuplePorts, Data: attrs(
			netlink.Attribute{Type: 1, Data: []byte{unix.IPPROTO_TCP}},
			netlink.Attribute{Type: 2, Data: binary.BigEndian.AppendUint16(nil, from.Port())},
			netlink.Attribute{Type: 3, Data: binary.BigEndian.AppendUint16(nil, to.Port())})},
	)}
}

func familyOfAddr(a netip.Addr) byte {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
