package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// markedDialer marks its connections, which the redirect leaves alone. It makes them as the agent does (capture/netns), but for entering a
// namespace, so that they cost what an agent's do.
type markedDialer struct{}

// Dial implements upstream.Dialer, for IPv4.
func (markedDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, err
	}
	peer := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, upstreamMark)
	if err == nil {
		err = unix.Connect(fd, peer)
	}
	file := os.NewFile(uintptr(fd), "tcp")
	if errors.Is(err, unix.EINPROGRESS) {
		err = await(ctx, file, peer)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func await(ctx context.Context, file *os.File, peer unix.Sockaddr) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	stop := func() bool { return true } // there is mostly no need to wait
	err = raw.Write(func(fd uintptr) bool {
		if outcome = unix.Connect(int(fd), peer); outcome != unix.EALREADY {
			return true
		}
		stop = context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
		return false
	})
	stop()
	if err != nil {
		return err
	}
	return outcome
}
