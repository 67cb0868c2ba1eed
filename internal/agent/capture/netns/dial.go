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
// made inside, the wait for the peer is spent outside. The context's deadline bounds the wait and its cancellation ends it.
//
// A raw socket turned into a *net.TCPConn costs less than net.Dialer with a Control function (measured: 46 against 56 µs on
// loopback, of which 3 µs are the two changes of namespace), and it cannot make a second socket on the wrong side, which
// net.Dialer does when it tries again.
func (n *Namespace) Dial(ctx context.Context, to netip.AddrPort, mark uint32) (*net.TCPConn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	conn, err := n.dial(ctx, to, mark)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return conn, nil
}

func (n *Namespace) dial(ctx context.Context, to netip.AddrPort, mark uint32) (*net.TCPConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := n.markedSocket(family(to.Addr()), mark)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, sockaddr(to))
	file := os.NewFile(uintptr(fd), "tcp")
	defer func() { _ = file.Close() }() // net.FileConn works on a copy
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnect(ctx, file)
	} else if err != nil {
		err = os.NewSyscallError("connect", err)
	}
	if err != nil {
		return nil, err
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, unwrapOp(err)
	}
	tcp := conn.(*net.TCPConn)
	if tcp.LocalAddr().(*net.TCPAddr).AddrPort() == to {
		// The kernel picked the destination itself as source: TCP's simultaneous open with nobody else there.
		_ = tcp.Close()
		return nil, os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return tcp, nil
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
func awaitConnect(ctx context.Context, file *os.File) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := file.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	if err := raw.Write(func(fd uintptr) (done bool) {
		done, outcome = connected(int(fd))
		return done
	}); err != nil {
		return waitError(ctx, err)
	}
	return outcome
}

// connected says whether a connect has come to an end, and how.
func connected(fd int) (done bool, err error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, os.NewSyscallError("getsockopt", err)
	}
	if code != 0 {
		return true, os.NewSyscallError("connect", syscall.Errno(code))
	}
	// The poller may wake us for nothing, so ask whether there is a peer.
	if _, err := unix.Getpeername(fd); err != nil {
		return false, nil // not yet, which is no failure
	}
	return true, nil
}

func waitError(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded // the poller may see the deadline before the context's own timer does
	}
	return err
}

func unwrapOp(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
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
