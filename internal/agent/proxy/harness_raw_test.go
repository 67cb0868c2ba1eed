package proxy

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// end is one end of a connection of which package net and the runtime know nothing, so that it takes no memory of the process. Who reads
// or writes blocks, but not for ever.
type end int

func (e end) Read(p []byte) (int, error) {
	return uninterrupted(func() (int, error) { return unix.Read(int(e), p) })
}

func (e end) Write(p []byte) (int, error) { return unix.Write(int(e), p) }

// uninterrupted makes a system call again that a signal has interrupted, as the runtime's do: those with a time to end at are not restarted.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// ends are those that a test has opened.
type ends struct{ all []end }

func (o *ends) close() { o.closeFrom(0) }

// closeFrom closes all but the first ones.
func (o *ends) closeFrom(first int) {
	for _, e := range o.all[first:] {
		_ = unix.Close(int(e))
	}
	o.all = o.all[:first]
}

// keep takes a new one, or fails the test.
func (o *ends) keep(t testing.TB, fd int, err error) end {
	t.Helper()
	check(t, err)
	o.all = append(o.all, end(fd))
	limit := unix.Timeval{Sec: int64(patience.Seconds())}
	check(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	return end(fd)
}

// dialRaw connects to an IPv4 address.
func dialRaw(t testing.TB, o *ends, to netip.AddrPort) end {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	e := o.keep(t, fd, err)
	check(t, unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
	return e
}

// listenRaw listens at a free port.
func listenRaw(t testing.TB, o *ends) (end, netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	e := o.keep(t, fd, err)
	local := [4]byte{127, 0, 0, 1}
	check(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: local}))
	check(t, unix.Listen(fd, 128))
	at := must(unix.Getsockname(fd))(t).(*unix.SockaddrInet4)
	return e, netip.AddrPortFrom(netip.AddrFrom4(local), uint16(at.Port))
}

// acceptRaw accepts the next connection.
func acceptRaw(t testing.TB, o *ends, at end) end {
	t.Helper()
	fd, err := uninterrupted(func() (int, error) {
		fd, _, err := unix.Accept4(int(at), unix.SOCK_CLOEXEC)
		return fd, err
	})
	return o.keep(t, fd, err)
}

// dialFile connects as the agent does, with nothing in memory but a file.
func dialFile(to netip.AddrPort) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err == nil {
		err = unix.SetNonblock(fd, true) // for the runtime's poller
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tcp"), nil
}
