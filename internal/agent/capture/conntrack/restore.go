package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

// The kernel may be made to forget connections (conntrack -F, conntrack -D). What the agent sends on a connection that was redirected would
// then go out as what it is, from the agent's listener, and the caller would answer with a reset to the agent and wait for ever itself. A
// rule drops it instead, so that TCP sends it again, and whoever renews the lease asks about one connection at a time whether it
// is known still. If it is not, all are made known again, and go on.
//
// What the caller sends meanwhile goes to where the connection was on its way to, as for one that is older than its policy, from which
// it cannot be distinguished. The server there knows nothing of it and resets it.

// Known reports whether the kernel knows how to translate a redirected connection. r is a socket of netfilter's protocol.
func Known(r *nsnetlink.Raw, c mechanism.Connection) (bool, error) {
	asking := request(ctGet, 0, familyOf(c.From.Addr()), tuple(tupleOriginal, sockdiag.Flow(c)))
	answer, err := r.Ask(nsnetlink.Marshal([]netlink.Message{asking}))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e, err := parse(answer)
	return e.translated, err
}

// Restore has the kernel know connections again that were redirected to a port of the loopback; those that it knows stay as they are. It says
// how many it did not know.
func Restore(ns *netns.Namespace, port uint16, all []mechanism.Connection) (int, error) {
	timeout := establishedTimeout(ns)
	var restored []mechanism.Connection
	err := create(ns, port, timeout, all, func(c mechanism.Connection) { restored = append(restored, c) })
	if forget := forgetEnded(ns, port, restored); err == nil {
		err = forget
	}
	return len(restored), err
}

func create(ns *netns.Namespace, port uint16, timeout uint32, all []mechanism.Connection, created func(mechanism.Connection)) error {
	n, err := nsnetlink.Dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	for _, c := range all {
		_, err := n.Execute(restoration(port, timeout, c))
		switch {
		case err == nil:
			created(c)
		case !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("restore connection: %w", err)
		}
	}
	return nil
}

// forgetEnded has the kernel forget what has just been restored and has ended meanwhile: nothing would inform the tracker of an end that
// it has missed, and it would believe in the connection for days.
func forgetEnded(ns *netns.Namespace, port uint16, restored []mechanism.Connection) error {
	if len(restored) == 0 {
		return nil
	}
	alive, err := sockdiag.Flows(ns)
	if err != nil {
		return err
	}
	var deletions []netlink.Message
	for _, c := range restored {
		if _, served := alive[sockdiag.Flow{From: listener(c, port), To: c.From}]; !served {
			deletions = append(deletions, request(ctDelete, 0, familyOf(c.From.Addr()), tuple(tupleOriginal, sockdiag.Flow(c))))
		}
	}
	return nsnetlink.SendAll(ns, unix.NETLINK_NETFILTER, deletions)
}

// listener is where a connection was redirected to.
func listener(c mechanism.Connection, port uint16) netip.AddrPort {
	if c.From.Addr().Is6() {
		return netip.AddrPortFrom(netip.IPv6Loopback(), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// defaultTimeout is for how many seconds the kernel knows an established connection on which nothing is sent, unless it is configured otherwise.
const defaultTimeout = 5 * 24 * 60 * 60

// establishedTimeout is that of the namespace: a restored entry lives as long as one that was never deleted.
func establishedTimeout(ns *netns.Namespace) uint32 {
	seconds := uint32(defaultTimeout)
	_ = ns.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
		if err == nil && n > 0 {
			seconds = uint32(n)
		}
		return err
	})
	return seconds
}

// What is given to the tracker as a connection's state: established, and IP_CT_TCP_FLAG_BE_LIBERAL, as what was sent meanwhile is not known.
const established, liberal = 3, 0x08

// restoration has the kernel know a connection as if it had redirected it just now and seen it established.
func restoration(port uint16, timeout uint32, c mechanism.Connection) netlink.Message {
	const v4Min, v4Max, natProto, v6Min, v6Max = 1, 2, 3, 4, 5
	const portMin, portMax = 1, 2
	low, high := uint16(v4Min), uint16(v4Max)
	if c.From.Addr().Is6() {
		low, high = v6Min, v6Max
	}
	address := listener(c, port).Addr().AsSlice()
	number := binary.BigEndian.AppendUint16(nil, port)
	flags := []byte{liberal, liberal}
	return request(ctNew, netlink.Acknowledge|netlink.Create|netlink.Excl, familyOf(c.From.Addr()),
		tuple(tupleOriginal, sockdiag.Flow(c)), tuple(tupleReply, sockdiag.Flow(c).Back()),
		nsnetlink.Number(statusKind, seenAnswer|assured|confirmed), nsnetlink.Number(timeoutKind, timeout),
		nsnetlink.Nested(natDestination, netlink.Attribute{Type: low, Data: address}, netlink.Attribute{Type: high, Data: address},
			nsnetlink.Nested(natProto, netlink.Attribute{Type: portMin, Data: number}, netlink.Attribute{Type: portMax, Data: number})),
		nsnetlink.Nested(protoInfo, nsnetlink.Nested(protoInfoTCP, netlink.Attribute{Type: tcpState, Data: []byte{established}},
			netlink.Attribute{Type: tcpFlags, Data: flags}, netlink.Attribute{Type: tcpFlagsOut, Data: flags})),
	)
}
