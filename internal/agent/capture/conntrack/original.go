package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ip6tSOOriginalDst is IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h.
const ip6tSOOriginalDst = 80

// OriginalDestination is where a redirected connection was on its way to, whose own address is local. For a connection that was not
// redirected it is that.
func OriginalDestination(conn syscall.Conn, local netip.AddrPort) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	original := local
	var inner error
	if err := raw.Control(func(fd uintptr) {
		if local.Addr().Unmap().Is4() {
			original, inner = original4(int(fd))
		} else {
			original, inner = original6(int(fd))
		}
	}); err != nil {
		return netip.AddrPort{}, err
	}
	if errors.Is(inner, unix.ENOENT) { // not tracked, so not redirected
		return local, nil
	}
	if inner != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", os.NewSyscallError("getsockopt", inner))
	}
	return original, nil
}

// original4 reads a struct sockaddr_in through the library's call for a structure of a like size.
func original4(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
}

// original6 reads a struct sockaddr_in6 through the library's call for a structure that begins with one.
func original6(fd int) (netip.AddrPort, error) {
	info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, ip6tSOOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var port [2]byte
	binary.NativeEndian.PutUint16(port[:], info.Addr.Port) // network order in memory
	return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), binary.BigEndian.Uint16(port[:])), nil
}
