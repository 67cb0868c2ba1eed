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

// Find returns the TCP socket in ns between two addresses as its owner sees them. The error is unix.ENOENT when there is no such
// socket.
func Find(ns *netns.Namespace, local, remote netip.AddrPort) (Socket, error) {
	r, err := nsnetlink.OpenRaw(ns, unix.NETLINK_INET_DIAG)
	if err != nil {
		return Socket{}, err
	}
	defer func() { _ = r.Close() }()
	question := netlink.Message{Header: netlink.Header{Type: byFamily, Flags: netlink.Request}, Data: exactRequest(local, remote)}
	answer, err := r.Ask(nsnetlink.Marshal([]netlink.Message{question}))
	if err != nil {
		return Socket{}, fmt.Errorf("look up socket: %w", err)
	}
	s, ok := parse(answer)
	if !ok || s.From.Port() != local.Port() || s.To.Port() != remote.Port() {
		// The kernel falls back to a listener on the port, which is not what was asked for.
		return Socket{}, fmt.Errorf("look up socket: %w", unix.ENOENT)
	}
	return s, nil
}

// exactRequest asks for one socket by its ends.
func exactRequest(local, remote netip.AddrPort) []byte {
	from, to := local.Addr().Unmap(), remote.Addr().Unmap()
	family := byte(unix.AF_INET6)
	if from.Is4() {
		family = unix.AF_INET
	}
	b := request(family, anyState, local.Port())
	id := b[8:] // struct inet_diag_sockid
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], from.AsSlice())
	copy(id[20:36], to.AsSlice())
	for i := range id[40:48] {
		id[40+i] = 0xff // INET_DIAG_NOCOOKIE: whichever socket it is
	}
	return b
}
