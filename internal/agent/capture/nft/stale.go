package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctGet, ctDelete = 1, 2

	ctaTupleOriginal, ctaTupleReply, ctaStatus, ctaProtoInfo, ctaID = 1, 2, 3, 4, 12
	ctaTupleAddresses, ctaTuplePorts                                = 1, 2
	ctaProtoInfoTCP                                                 = 1

	translated = 1<<4 | 1<<5 // IPS_NAT_MASK
)

// flow is a TCP connection by its two ends.
type flow struct{ from, to netip.AddrPort }

func (f flow) back() flow { return flow{from: f.to, to: f.from} }

// tracked is one connection that the kernel's tracker knows.
type tracked struct {
	family     byte
	flow       flow   // of what its opener sends
	answers    flow   // of what comes back, before it is translated
	tuple, id  []byte // as the kernel gave them, to name it by
	tcp        bool
	translated bool
}

// forgetFormer has the kernel forget TCP connections of the past before it begins to track those of the present. It is for a
// namespace in which there is no table of ours, so that as a rule nothing is tracked there. Two kinds would do harm:
//
// Connections that were redirected to port. None is left, or the table would be there, unless the pod has taken it away and they are served
// still; but for two minutes the kernel holds their ends for taken, and takes a connection that is open now between the same two for another:
// it gives that another port, which breaks it.
//
// Connections that nobody translates and that no socket in ns has any more. While nothing was tracked their end was missed. The kernel
// would go on believing in them for days, and never ask the rules about another connection between the same two ports.
func forgetFormer(ns *netns.Namespace, port uint16) error {
	known, err := trackedIn(ns)
	if err != nil || len(known) == 0 {
		return err
	}
	alive, err := flows(ns)
	if err != nil {
		return err
	}
	var deletions []netlink.Message
	for _, t := range known {
		_, there := alive[t.flow]
		_, backwards := alive[t.flow.back()]
		_, served := alive[t.answers]
		redirected := t.translated && !served && t.answers.from.Addr().IsLoopback() && t.answers.from.Port() == port
		if t.tcp && (redirected || !t.translated && !there && !backwards) {
			deletions = append(deletions, ctRequest(ctDelete, 0, t.family, []netlink.Attribute{
				{Type: unix.NLA_F_NESTED | ctaTupleOriginal, Data: t.tuple}, {Type: ctaID, Data: t.id}}))
		}
	}
	return send(ns, deletions)
}

// trackedIn lists what the kernel's tracker knows in ns.
func trackedIn(ns *netns.Namespace) ([]tracked, error) {
	c, err := dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	answers, err := c.Execute(ctRequest(ctGet, netlink.Dump, unix.AF_UNSPEC, nil))
	if err != nil {
		return nil, fmt.Errorf("read tracked connections: %w", err)
	}
	list := make([]tracked, len(answers))
	for i, a := range answers {
		if list[i], err = parseTracked(a.Data); err != nil {
			return nil, fmt.Errorf("read tracked connections: %w", err)
		}
	}
	return list, nil
}

// send has the kernel carry out messages that need no answer, many at a time: there may be tens of thousands. What one of them is about may
// be gone meanwhile, so answers, which only failures have, are thrown away.
func send(ns *netns.Namespace, messages []netlink.Message) error {
	const together = 256
	fd, err := openRaw(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var answer [4096]byte
	for part := range slices.Chunk(messages, together) {
		if err := unix.Send(fd, marshal(part), 0); err != nil {
			return os.NewSyscallError("send", err)
		}
		for err := error(nil); err == nil || errors.Is(err, unix.ENOBUFS); {
			_, _, err = unix.Recvfrom(fd, answer[:], unix.MSG_DONTWAIT)
		}
	}
	return nil
}

func ctRequest(kind uint16, flags netlink.HeaderFlags, family byte, attributes []netlink.Attribute) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs(attributes...)...),
	}
}

func parseTracked(answer []byte) (t tracked, err error) {
	err = fields(answer, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case ctaTupleOriginal:
			t.tuple = d.Bytes()
			d.Nested(func(tuple *netlink.AttributeDecoder) error { t.flow.read(tuple); return nil })
		case ctaTupleReply:
			d.Nested(func(tuple *netlink.AttributeDecoder) error { t.answers.read(tuple); return nil })
		case ctaStatus:
			t.translated = d.Uint32()&translated != 0
		case ctaProtoInfo:
			d.Nested(func(info *netlink.AttributeDecoder) error {
				for info.Next() {
					t.tcp = t.tcp || info.Type() == ctaProtoInfoTCP
				}
				return nil
			})
		case ctaID:
			t.id = d.Bytes()
		}
	})
	if err == nil {
		t.family = answer[0]
	}
	return t, err
}

// read reads a connection's two ends.
func (f *flow) read(tuple *netlink.AttributeDecoder) {
	var addrs [2]netip.Addr
	var ports [2]uint16
	for tuple.Next() {
		kind := tuple.Type()
		if kind != ctaTupleAddresses && kind != ctaTuplePorts {
			continue // the zone, if it has one
		}
		tuple.Nested(func(part *netlink.AttributeDecoder) error {
			for part.Next() {
				switch n := int(part.Type()); {
				case kind == ctaTupleAddresses && n >= 1 && n <= 4: // source and destination of IPv4, then of IPv6
					addrs[(n-1)%2], _ = netip.AddrFromSlice(part.Bytes())
				case kind == ctaTuplePorts && (n == 2 || n == 3): // source, destination; 1 is the protocol
					ports[n-2] = part.Uint16()
				}
			}
			return nil
		})
	}
	f.from, f.to = netip.AddrPortFrom(addrs[0], ports[0]), netip.AddrPortFrom(addrs[1], ports[1])
}

// flows are the connections of all TCP sockets in ns.
func flows(ns *netns.Namespace) (map[flow]struct{}, error) {
	all := make(map[flow]struct{})
	err := eachSocket(ns, underWay, 0, func(answer []byte) { all[diagFlow(answer)] = struct{}{} })
	return all, err
}

// diagFlow reads the two ends of a struct inet_diag_msg. An IPv6 socket may carry an IPv4 connection.
func diagFlow(answer []byte) flow {
	end := func(port, address int) netip.AddrPort {
		a := netip.AddrFrom16([16]byte(answer[address : address+16])).Unmap()
		if answer[0] == unix.AF_INET {
			a = netip.AddrFrom4([4]byte(answer[address : address+4]))
		}
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(answer[port:]))
	}
	return flow{from: end(4, 8), to: end(6, 24)}
}
