package netns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen listens inside the namespace on a literal address. Other processes of the same user may listen there too
// (SO_REUSEPORT), which is how one agent takes over from another: connections go to the listener that came second as long as
// there are two, and to the only one otherwise.
func (n *Namespace) Listen(at netip.AddrPort) (*net.TCPListener, error) {
	config := net.ListenConfig{
		KeepAlive: -1, // the peers are in the pod; a probe says nothing their kernel does not
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error {
				return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			})
		},
	}
	config.SetMultipathTCP(false)
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	var listener *net.TCPListener
	err := n.Do(func() error {
		l, err := config.Listen(context.Background(), network, at.String())
		if err != nil {
			return err
		}
		listener = l.(*net.TCPListener)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := preferSecond(listener); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// preferSecond has the kernel hand new connections to the second listener of the group. When there is only one the choice is
// out of range and the kernel falls back to it.
func preferSecond(l *net.TCPListener) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	choice := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	return control(raw, func(fd int) error {
		return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET,
			unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(choice)), Filter: &choice[0]}))
	})
}

// MigrateRequests lets connections that wait in the queue of a closing listener move to another one on the same port, where the
// process may write to /proc/sys and the kernel knows how (5.14).
func (n *Namespace) MigrateRequests() error {
	return n.Do(func() error {
		fd, err := unix.Open("/proc/sys/net/ipv4/tcp_migrate_req", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open tcp_migrate_req", err)
		}
		defer func() { _ = unix.Close(fd) }()
		_, err = unix.Write(fd, []byte("1"))
		return os.NewSyscallError("write tcp_migrate_req", err)
	})
}

func control(c syscall.RawConn, fn func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
