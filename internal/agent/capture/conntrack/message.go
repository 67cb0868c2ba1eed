package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

// Of linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h and nf_conntrack_tcp.h.
const (
	ctNew, ctGet, ctDelete = 0, 1, 2

	tupleOriginal, tupleReply, statusKind, protoInfo, timeoutKind, idKind, natDestination = 1, 2, 3, 4, 7, 12, 13

	tupleAddresses, tuplePorts         = 1, 2
	source4, target4, source6, target6 = 1, 2, 3, 4 // CTA_IP_V4_SRC and so on
	protocol, sourcePort, targetPort   = 1, 2, 3    // CTA_PROTO_NUM and so on

	protoInfoTCP                    = 1
	tcpState, tcpFlags, tcpFlagsOut = 1, 4, 5

	seenAnswer, assured, confirmed = 1 << 1, 1 << 2, 1 << 3
	translated                     = 1<<4 | 1<<5 // IPS_NAT_MASK
)

// entry is one connection that the tracker knows.
type entry struct {
	family     byte
	flow       sockdiag.Flow // of what its opener sends
	answers    sockdiag.Flow // of what comes back, before it is translated
	tuple, id  []byte        // as the kernel gave them, to name it by
	tcp        bool
	translated bool
}

func request(kind uint16, flags netlink.HeaderFlags, family byte, attributes ...netlink.Attribute) netlink.Message {
	return nsnetlink.Netfilter(unix.NFNL_SUBSYS_CTNETLINK, kind, flags, family, attributes)
}

// tuple names one direction of a TCP connection.
func tuple(kind uint16, f sockdiag.Flow) netlink.Attribute {
	source, target := uint16(source4), uint16(target4)
	if f.From.Addr().Is6() {
		source, target = source6, target6
	}
	return nsnetlink.Nested(kind,
		nsnetlink.Nested(tupleAddresses, netlink.Attribute{Type: source, Data: f.From.Addr().AsSlice()},
			netlink.Attribute{Type: target, Data: f.To.Addr().AsSlice()}),
		nsnetlink.Nested(tuplePorts, netlink.Attribute{Type: protocol, Data: []byte{unix.IPPROTO_TCP}},
			netlink.Attribute{Type: sourcePort, Data: binary.BigEndian.AppendUint16(nil, f.From.Port())},
			netlink.Attribute{Type: targetPort, Data: binary.BigEndian.AppendUint16(nil, f.To.Port())}),
	)
}

func familyOf(a netip.Addr) byte {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func parse(answer []byte) (e entry, err error) {
	err = nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case tupleOriginal:
			e.tuple = d.Bytes()
			d.Nested(func(t *netlink.AttributeDecoder) error { e.flow = parseTuple(t); return nil })
		case tupleReply:
			d.Nested(func(t *netlink.AttributeDecoder) error { e.answers = parseTuple(t); return nil })
		case statusKind:
			e.translated = d.Uint32()&translated != 0
		case protoInfo:
			d.Nested(func(info *netlink.AttributeDecoder) error {
				for info.Next() {
					e.tcp = e.tcp || info.Type() == protoInfoTCP
				}
				return nil
			})
		case idKind:
			e.id = d.Bytes()
		}
	})
	if err == nil {
		e.family = answer[0]
	}
	return e, err
}

// parseTuple reads a connection's two ends.
func parseTuple(tuple *netlink.AttributeDecoder) sockdiag.Flow {
	var addrs [2]netip.Addr
	var ports [2]uint16
	for tuple.Next() {
		kind := tuple.Type()
		if kind != tupleAddresses && kind != tuplePorts {
			continue // the zone, if it has one
		}
		tuple.Nested(func(part *netlink.AttributeDecoder) error {
			for part.Next() {
				switch n := int(part.Type()); {
				case kind == tupleAddresses && n >= source4 && n <= target6:
					addrs[(n-1)%2], _ = netip.AddrFromSlice(part.Bytes())
				case kind == tuplePorts && (n == sourcePort || n == targetPort):
					ports[n-sourcePort] = part.Uint16()
				}
			}
			return nil
		})
	}
	return sockdiag.Flow{From: netip.AddrPortFrom(addrs[0], ports[0]), To: netip.AddrPortFrom(addrs[1], ports[1])}
}
