package transport

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener accepts connections as files. One of package net asks for addresses that nobody needs and keeps them, and sets for each
// connection what it could have from its listener.
type Listener struct {
	// immutable after NewListener
	file *os.File
	raw  syscall.RawConn
	step func(fd uintptr) bool // accept, bound once

	// of the Accept under way
	accepted int
	err      error
}

// NewListener takes over a listener. Small writes on what it accepts are not delayed (TCP_NODELAY), and whether there are keep-alive
// probes is as the socket of l says.
func NewListener(l *net.TCPListener) (*Listener, error) {
	defer func() { _ = l.Close() }()
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	own := &Listener{file: file}
	own.step = own.accept
	if own.raw, err = file.SyscallConn(); err == nil {
		err = own.Control(func(fd int) error {
			return os.NewSyscallError("setsockopt TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		})
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return own, nil
}

// Accept waits for a connection. It returns net.ErrClosed after Close, and os.ErrDeadlineExceeded after the time of SetDeadline. It is for
// one goroutine at a time.
func (l *Listener) Accept() (*os.File, error) {
	if err := l.raw.Read(l.step); err != nil {
		return nil, cause(err)
	}
	if l.err != nil {
		return nil, os.NewSyscallError("accept4", l.err)
	}
	return os.NewFile(uintptr(l.accepted), "tcp"), nil // registered with the poller, since the descriptor is non-blocking
}

func (l *Listener) accept(fd uintptr) (done bool) {
	for {
		accepted, errno := acceptAt(fd)
		switch errno {
		case 0:
			l.accepted, l.err = accepted, nil
			return true
		case unix.EINTR, unix.ECONNABORTED: // it was closed in the queue
		case unix.EAGAIN:
			return false
		default:
			l.err = errno
			return true
		}
	}
}

// Control calls f with the descriptor, which nobody closes meanwhile.
func (l *Listener) Control(f func(fd int) error) error {
	var inner error
	if err := l.raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return cause(err)
	}
	return inner
}

// SetDeadline bounds Accept; zero: not at all.
func (l *Listener) SetDeadline(t time.Time) error {
	if err := l.file.SetReadDeadline(t); err != nil {
		return cause(err)
	}
	return nil
}

// Close ends Accept. What is in the queue is reset.
func (l *Listener) Close() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
