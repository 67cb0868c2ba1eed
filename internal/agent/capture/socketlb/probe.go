package socketlb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrCannotProbe is the cause of an error where the kernel allows no connect without a packet in the network namespace.
var ErrCannotProbe = errors.New("the sysctl net.ipv4.tcp_fastopen of the agent's network namespace lacks the client's bit (1)")

// errVanished says that the kernel does not know the socket that was just made.
var errVanished = errors.New("the probe's socket is not listed")

// Probe reports whether a connect to a Service's address goes somewhere else, as seen in the network namespace of the calling thread. No
// packet is sent: the connect is deferred until there is data (TCP Fast Open), which never comes.
//
// getpeername would not do: programs that translate make it return the Service. The kernel's list of sockets has the real address.
func Probe(service netip.AddrPort) (translated bool, err error) {
	service = netip.AddrPortFrom(service.Addr().Unmap(), service.Port())
	fd, err := deferredConnect(service)
	if err != nil {
		return false, fmt.Errorf("probe %s: %w", service, err)
	}
	defer func() { _ = unix.Close(fd) }()
	peer, err := peerOf(fd)
	if err != nil {
		return false, fmt.Errorf("probe %s: %w", service, err)
	}
	return peer != service, nil
}

// deferredConnect returns a socket that is on its way to an address without having sent anything.
func deferredConnect(to netip.AddrPort) (fd int, err error) {
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	for _, option := range []int{unix.TCP_FASTOPEN_CONNECT, unix.TCP_FASTOPEN_NO_COOKIE} {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, 1); err != nil {
			if errors.Is(err, unix.EOPNOTSUPP) {
				err = ErrCannotProbe
			}
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	return fd, os.NewSyscallError("connect", unix.Connect(fd, address))
}

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
	requestSize      = 56 // struct inet_diag_req_v2
	answerSize       = 72 // struct inet_diag_msg
	anyState         = 1<<13 - 1
	answerTimeout    = time.Second
)

// peerOf returns where the kernel has connected a TCP socket to.
func peerOf(fd int) (netip.AddrPort, error) {
	local, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt SO_COOKIE", err)
	}
	family, port := byte(unix.AF_INET), 0
	switch a := local.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		family, port = unix.AF_INET6, a.Port
	}
	return findSocket(family, uint16(port), cookie)
}

// findSocket looks through the sockets with a local port for the one with a cookie, and returns its peer.
func findSocket(family byte, port uint16, cookie uint64) (netip.AddrPort, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return netip.AddrPort{}, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Sendto(fd, dumpRequest(family, port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return netip.AddrPort{}, os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 32<<10) // at least what the kernel puts into one message of a dump
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return netip.AddrPort{}, os.NewSyscallError("recvfrom", err)
		}
		if peer, done, err := readAnswers(buf[:n], cookie); done || err != nil {
			return peer, err
		}
	}
}

// dumpRequest asks for the TCP sockets with a local port.
func dumpRequest(family byte, port uint16) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+requestSize)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request := b[unix.NLMSG_HDRLEN:]
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], anyState)
	binary.BigEndian.PutUint16(request[8:], port)
	return b
}

// readAnswers looks for a socket in answers of the kernel. done is set when it is found; the end of the list is errVanished.
func readAnswers(b []byte, cookie uint64) (peer netip.AddrPort, done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return peer, false, errors.New("the list of sockets is malformed")
		}
		body := b[unix.NLMSG_HDRLEN:length]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return peer, false, errVanished
		case unix.NLMSG_ERROR:
			return peer, false, readError(body)
		case sockDiagByFamily:
			if len(body) >= answerSize && readCookie(body) == cookie {
				return readPeer(body), true, nil
			}
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return peer, false, nil
}

func readError(body []byte) error {
	if len(body) < 4 {
		return errVanished
	}
	return os.NewSyscallError("sock_diag", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
}

// readCookie reads the cookie of a socket from a struct inet_diag_msg: its lower half comes first.
func readCookie(answer []byte) uint64 {
	return uint64(binary.NativeEndian.Uint32(answer[44:])) | uint64(binary.NativeEndian.Uint32(answer[48:]))<<32
}

// readPeer reads the peer from a struct inet_diag_msg.
func readPeer(answer []byte) netip.AddrPort {
	a := netip.AddrFrom16([16]byte(answer[24:40]))
	if answer[0] == unix.AF_INET {
		a = netip.AddrFrom4([4]byte(answer[24:28]))
	}
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(answer[6:]))
}
