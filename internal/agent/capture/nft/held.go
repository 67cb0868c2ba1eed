package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// SocketHeld reports whether a process in ns still holds the TCP socket between the two addresses as its owner sees them, which are
// those from before any redirecting. A socket that was closed lingers on for a while, held by nobody, while the other side has not
// closed; shut down for writing only, it is held. The error wraps unix.ENOENT when there is no such socket.
func SocketHeld(ns *netns.Namespace, local, remote netip.AddrPort) (bool, error) {
	c, err := dial(ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data:   socketRequest(local, remote),
	})
	if err != nil {
		return false, fmt.Errorf("look up socket: %w", err)
	}
	for _, a := range answers {
		if held, found := heldBy(a.Data, local.Port(), remote.Port()); found {
			return held, nil
		}
	}
	return false, fmt.Errorf("look up socket: %w", unix.ENOENT)
}

// socketRequest asks for one socket: struct inet_diag_req_v2 with its struct inet_diag_sockid filled.
func socketRequest(local, remote netip.AddrPort) []byte {
	request := make([]byte, requestSize)
	from, to := local.Addr().Unmap(), remote.Addr().Unmap()
	request[0], request[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if from.Is4() {
		request[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(request[4:], 1<<13-1) // every state
	id := request[8:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], from.AsSlice())
	copy(id[20:36], to.AsSlice())
	for i := range id[40:48] {
		id[40+i] = 0xff // INET_DIAG_NOCOOKIE: whichever socket it is
	}
	return request
}

// heldBy reads a struct inet_diag_msg. The kernel falls back to a listener on the port, which is not what was asked for.
func heldBy(answer []byte, local, remote uint16) (held, found bool) {
	if len(answer) < answerSize || binary.BigEndian.Uint16(answer[4:]) != local || binary.BigEndian.Uint16(answer[6:]) != remote {
		return false, false
	}
	return binary.NativeEndian.Uint32(answer[68:]) != 0, true // idiag_inode
}
