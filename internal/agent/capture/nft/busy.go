package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
	requestSize      = 56 // struct inet_diag_req_v2
	answerSize       = 72 // struct inet_diag_msg
)

// The states of a TCP socket, as bits.
const (
	established = 1 << 1
	timeWait    = 1 << 6
	closed      = 1 << 7
	listening   = 1 << 10
	anyState    = 1<<13 - 1
)

// Busy counts the TCP sockets in the namespace whose own port is the agent's and that still have something to carry, whoever holds them: also those
// that were closed and have not delivered everything. While there are any, the table must stay, or what they carry is lost.
func (t *Table) Busy() (int, error) {
	total := 0
	err := eachSocket(t.ns, underWay, t.options.Port, func(answer []byte) {
		if binary.BigEndian.Uint16(answer[4:]) == t.options.Port {
			total++
		}
	})
	return total, err
}

// underWay are all states but those in which nothing can be under way any more.
const underWay = anyState &^ (timeWait | closed | listening)

// eachSocket calls f with the struct inet_diag_msg of every TCP socket in ns that diagRequest asks for, and what follows it.
func eachSocket(ns *netns.Namespace, states uint32, port uint16, f func(answer []byte)) error {
	c, err := dial(ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		answers, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump},
			Data:   diagRequest(family, states, port),
		})
		if err != nil {
			return fmt.Errorf("read sockets: %w", err)
		}
		for _, a := range answers {
			if len(a.Data) >= answerSize {
				f(a.Data)
			}
		}
	}
	return nil
}

// diagRequest asks for the TCP sockets of a family in some states, with a port of their own unless it is 0.
func diagRequest(family byte, states uint32, port uint16) []byte {
	request := make([]byte, requestSize)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], states)
	binary.BigEndian.PutUint16(request[8:], port) // else the kernel would list all that the pod has, many times a second
	return request
}
