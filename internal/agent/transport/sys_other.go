//go:build !linux

package transport

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the kernel offers beyond Linux is less, so that this costs more system calls there, and memory. It is for fairlead run on the machines of
// developers; agents run on Linux.

// send writes what fits into the send buffer, which may be nothing.
func send(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Write(fd, p)
		switch err { //nolint:errorlint // it comes bare
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// recv reads what has arrived. Its errors are those of TryRead.
func recv(fd int, p []byte) (int, error) {
	switch n, err := receive(fd, p, 0); {
	case err == nil && n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return max(n, 0), err
	}
}

// peek looks at what has arrived, and copies the beginning to p, which must not be empty.
func peek(fd int, p []byte) (int, State) {
	switch n, err := receive(fd, p, unix.MSG_PEEK); {
	case err == unix.EAGAIN: //nolint:errorlint // it comes bare
		return 0, Quiet
	case err != nil || n == 0:
		return 0, Gone
	default:
		return n, Readable
	}
}

func receive(fd int, p []byte, flags int) (int, error) {
	for {
		if n, _, err := unix.Recvfrom(fd, p, flags|unix.MSG_DONTWAIT); err != unix.EINTR { //nolint:errorlint // it comes bare
			return n, err
		}
	}
}

// acceptAt accepts a connection that does not block and is not handed to other programs, on which small writes are not delayed.
func acceptAt(fd uintptr) (int, syscall.Errno) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	accepted, _, err := unix.Accept(int(fd))
	if err != nil {
		errno, _ := err.(unix.Errno) //nolint:errorlint // it comes bare
		return 0, errno
	}
	unix.CloseOnExec(accepted)
	_ = unix.SetNonblock(accepted, true) // fails for no descriptor that is open
	_ = unix.SetsockoptInt(accepted, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return accepted, 0
}

// queued is how many bytes wait to be read.
func queued(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NREAD) }

// keepIdle is the option for how long a connection is idle before it is probed.
const keepIdle = unix.TCP_KEEPALIVE

// ending leaves an error for those who read, unlike a read.
func ending(fd int) Ending {
	in := poll(fd, unix.POLLIN)
	switch {
	case in&(unix.POLLERR|unix.POLLNVAL) != 0:
		return Broken
	case in&unix.POLLHUP == 0: // the peer's side goes on
		return Open
	case poll(fd, unix.POLLOUT)&(unix.POLLERR|unix.POLLHUP) != 0:
		return Broken
	}
	return HalfClosed
}

// movable: the kernel moves nothing from one socket to another here, so bytes are copied.
const movable = false

// pipe is what would hold what is on its way.
type pipe struct{}

func takePipe() *pipe { return nil }

func (p *pipe) putBack() {}

func (p *pipe) fill(int, int) (int, error) { return 0, os.ErrInvalid }

func (p *pipe) drain(*Conn) (int64, error) { return 0, os.ErrInvalid }
