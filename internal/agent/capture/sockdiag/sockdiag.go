package sockdiag

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// The states of a TCP socket, as bits.
const (
	Established = 1 << 1
	timeWait    = 1 << 6
	closed      = 1 << 7
	Listening   = 1 << 10
	anyState    = 1<<13 - 1

	// UnderWay are all states but those in which nothing can be under way any more.
	UnderWay = anyState &^ (timeWait | closed | Listening)
)

// Flow is a TCP connection by its two ends.
type Flow struct{ From, To netip.AddrPort }

// Back is the same connection seen from the other end.
func (f Flow) Back() Flow { return Flow{From: f.To, To: f.From} }

// Socket is one TCP socket. An IPv6 socket may carry an IPv4 connection; its addresses are given as IPv4 then.
type Socket struct {
	// Flow is from the socket's own end.
	Flow
	Established bool
	// Held says that a process holds the socket. One that was closed lingers on for a while, held by nobody, while the other side has
	// not closed; shut down for writing only, it is held.
	Held bool
	// Mark is what the socket puts on its packets, as far as the kernel says: it does to those who may set one.
	Mark uint32
}

const (
	byFamily    = 20 // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
	requestSize = 56 // struct inet_diag_req_v2
	answerSize  = 72 // struct inet_diag_msg
	markKind    = 15 // INET_DIAG_MARK of linux/inet_diag.h
)

// Each calls f with every TCP socket in ns that is in one of states and, unless port is 0, whose own port it is. Without a port it
// walks over all sockets of the node.
func Each(ns *netns.Namespace, states uint32, port uint16, f func(Socket)) error {
	c, err := nsnetlink.Dial(ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		answers, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: byFamily, Flags: netlink.Request | netlink.Dump},
			Data:   request(family, states, port),
		})
		if err != nil {
			return fmt.Errorf("read sockets: %w", err)
		}
		for _, a := range answers {
			if s, ok := parse(a.Data); ok && (port == 0 || s.From.Port() == port) {
				f(s)
			}
		}
	}
	return nil
}

// Flows are the connections under way of all TCP sockets in ns.
func Flows(ns *netns.Namespace) (map[Flow]struct{}, error) {
	all := make(map[Flow]struct{})
	err := Each(ns, UnderWay, 0, func(s Socket) { all[s.Flow] = struct{}{} })
	return all, err
}

// Busy counts the TCP sockets in ns whose own port is the given one and that still have something to carry, whoever holds them: also
// those that were closed and have not delivered everything.
func Busy(ns *netns.Namespace, port uint16) (int, error) {
	total := 0
	err := Each(ns, UnderWay, port, func(Socket) { total++ })
	return total, err
}

// request is a struct inet_diag_req_v2 about the TCP sockets of a family in some states, with a port of their own unless it is 0.
func request(family byte, states uint32, port uint16) []byte {
	b := make([]byte, requestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], states)
	binary.BigEndian.PutUint16(b[8:], port)
	return b
}

// parse reads a struct inet_diag_msg and what follows it.
func parse(answer []byte) (s Socket, ok bool) {
	if len(answer) < answerSize {
		return s, false
	}
	end := func(port, address int) netip.AddrPort {
		a := netip.AddrFrom16([16]byte(answer[address : address+16])).Unmap()
		if answer[0] == unix.AF_INET {
			a = netip.AddrFrom4([4]byte(answer[address : address+4]))
		}
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(answer[port:]))
	}
	s.Flow = Flow{From: end(4, 8), To: end(6, 24)}
	s.Established = answer[1] == 1                          // idiag_state
	s.Held = binary.NativeEndian.Uint32(answer[68:72]) != 0 // idiag_inode
	if mark := nsnetlink.Attribute(answer[answerSize:], markKind); len(mark) == 4 {
		s.Mark = binary.NativeEndian.Uint32(mark)
	}
	return s, true
}
