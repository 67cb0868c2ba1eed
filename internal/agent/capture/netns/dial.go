package netns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects from inside the namespace to a literal address, with mark on every packet of the connection. The socket is
// made inside, the wait for the peer is spent outside. The context's deadline bounds the wait and its cancellation ends it. Small writes
// are not delayed (TCP_NODELAY).
//
// The result is a file rather than a net.Conn because net.FileConn works on a copy of the descriptor and asks for addresses that nobody
// needs: some ten system calls more. net.Dialer with a Control function costs more too, and can make a second socket on the wrong side
// when it tries again.
func (n *Namespace) Dial(ctx context.Context, to netip.AddrPort, mark uint32) (*os.File, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	file, err := n.dial(ctx, to, mark)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return file, nil
}

func (n *Namespace) dial(ctx context.Context, to netip.AddrPort, mark uint32) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := n.markedSocket(family(to.Addr()), mark)
	if err != nil {
		return nil, err
	}
	peer := sockaddr(to)
	err = unix.Connect(fd, peer)
	file := os.NewFile(uintptr(fd), "tcp") // registered with the poller, since the descriptor is non-blocking
	switch {
	case errors.Is(err, unix.EINPROGRESS):
		err = awaitConnect(ctx, file, peer)
	case err != nil:
		err = os.NewSyscallError("connect", err)
	}
	if err == nil {
		err = finish(fd, peer)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// finish prepares a connected socket for use.
func finish(fd int, peer unix.Sockaddr) error {
	own, err := syscall.Getsockname(fd) // that of package unix makes a second call
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if same(own, peer) {
		// The kernel picked the destination itself as source: TCP's simultaneous open with nobody else there.
		return os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return os.NewSyscallError("setsockopt TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

func (n *Namespace) markedSocket(family int, mark uint32) (int, error) {
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt SO_MARK", err)
	}
	return fd, nil
}

// awaitConnect waits for a connect under way to come to an end.
func awaitConnect(ctx context.Context, file *os.File, peer unix.Sockaddr) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	var unwatch func() bool // nil: there was no need to wait
	err = raw.Write(func(fd uintptr) (done bool) {
		done, outcome = connected(int(fd), peer)
		if !done && unwatch == nil {
			unwatch = context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
		}
		return done
	})
	if unwatch != nil && !unwatch() { // the file has a deadline in the past, or is about to
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return outcome
}

// connected reports whether a connect has come to an end, and how. Calling connect(2) once more says so; but an ICMP error received during
// the handshake does not abort the connect, and is only visible in SO_ERROR.
func connected(fd int, peer unix.Sockaddr) (done bool, err error) {
	switch err := unix.Connect(fd, peer); {
	case err == nil, errors.Is(err, unix.EISCONN):
		return true, nil
	case errors.Is(err, unix.EALREADY), errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR):
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			return true, os.NewSyscallError("connect", syscall.Errno(code))
		}
		return false, os.NewSyscallError("getsockopt", err)
	default:
		return true, os.NewSyscallError("connect", err)
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

func same(own syscall.Sockaddr, peer unix.Sockaddr) bool {
	switch own := own.(type) {
	case *syscall.SockaddrInet4:
		peer, ok := peer.(*unix.SockaddrInet4)
		return ok && own.Port == peer.Port && own.Addr == peer.Addr
	case *syscall.SockaddrInet6:
		peer, ok := peer.(*unix.SockaddrInet6)
		return ok && own.Port == peer.Port && own.Addr == peer.Addr
	}
	return false
}
