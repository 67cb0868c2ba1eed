package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// lazyTCP is a LazySource: a TCP connection that is only given memory once it is readable. That costs no more system calls than
// an ordinary read, which also tries, waits and tries again.
type lazyTCP struct {
	tcp *net.TCPConn
	raw syscall.RawConn
	try func(fd uintptr) bool

	// of the call under way
	memory Memory
	n      int
	err    error
}

func newLazyTCP(tcp *net.TCPConn) (*lazyTCP, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &lazyTCP{tcp: tcp, raw: raw}
	l.try = l.read
	return l, nil
}

// ReadLazily implements LazySource.
func (l *lazyTCP) ReadLazily(memory Memory) (int, error) {
	l.memory = memory
	err := l.raw.Read(l.try)
	l.memory = nil
	if err != nil {
		return 0, err
	}
	return l.n, l.err
}

// read tries to read; false means: wait for readability and call again.
func (l *lazyTCP) read(fd uintptr) bool {
	p := l.memory.Space()
	n, err := syscall.Read(int(fd), p)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), p)
	}
	switch {
	case n > 0:
		l.n, l.err = n, nil
		return true
	case errors.Is(err, syscall.EAGAIN):
		l.memory.Return()
		return false
	case err == nil:
		l.n, l.err = 0, io.EOF
	default:
		l.n, l.err = 0, &net.OpError{Op: "read", Net: "tcp", Source: l.tcp.LocalAddr(), Addr: l.tcp.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	}
	return true
}
