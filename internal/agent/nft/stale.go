package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/netns"
)

// Of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctGet, ctDelete = 1, 2

	ctaTupleOriginal, ctaStatus, ctaProtoInfo, ctaID = 1, 3, 4, 12
	ctaTupleAddresses, ctaTuplePorts                 = 1, 2
	ctaProtoInfoTCP                                  = 1

	translated = 1<<4 | 1<<5 // IPS_NAT_MASK
)

// flow is a TCP connection by its two ends.
type flow struct{ from, to netip.AddrPort }

func (f flow) back() flow { return flow{from: f.to, to: f.from} }

// tracked is one connection that the kernel's tracker knows.
type tracked struct {
	family     byte
	flow       flow
	tuple, id  []byte // as the kernel gave them, to name it by
	tcp        bool
	translated bool
}

// forgetEnded has the kernel forget the TCP connections that it believes to be open and that no socket in ns has any more. Where
// nothing needs tracking the kernel does not track, and misses ends: of connections that were open when a table was removed. It
// would go on believing in them for days, and never ask the rules about another connection between the same two ports. Connections that
// somebody translates are left alone: they are those that were redirected, or another's.
func forgetEnded(ns *netns.Namespace) error {
	c, err := dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	answers, err := c.Execute(ctRequest(ctGet, netlink.Dump, unix.AF_UNSPEC, nil))
	if err != nil {
		return fmt.Errorf("read tracked connections: %w", err)
	}
	if len(answers) == 0 {
		return nil
	}
	alive, err := flows(ns)
	if err != nil {
		return err
	}
	return forget(c, answers, alive)
}

// forget deletes those of the answers that are not alive. One that is gone meanwhile is no failure.
func forget(c *netlink.Conn, answers []netlink.Message, alive map[flow]struct{}) error {
	for _, a := range answers {
		t, err := parseTracked(a.Data)
		if err != nil {
			return fmt.Errorf("read tracked connections: %w", err)
		}
		_, there := alive[t.flow]
		_, backwards := alive[t.flow.back()]
		if !t.tcp || t.translated || there || backwards {
			continue
		}
		_, err = c.Execute(ctRequest(ctDelete, netlink.Acknowledge, t.family, []netlink.Attribute{
			{Type: unix.NLA_F_NESTED | ctaTupleOriginal, Data: t.tuple}, {Type: ctaID, Data: t.id}}))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("forget a connection: %w", err)
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
	c, err := dial(ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	all := make(map[flow]struct{})
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		answers, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump},
			Data:   diagRequest(family, 0),
		})
		if err != nil {
			return nil, fmt.Errorf("read sockets: %w", err)
		}
		for _, a := range answers {
			if len(a.Data) >= answerSize {
				all[diagFlow(a.Data)] = struct{}{}
			}
		}
	}
	return all, nil
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
