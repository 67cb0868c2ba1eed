package transport

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The descriptors are non-blocking, so these calls return within microseconds and need not tell the scheduler: a raw system
// call saves the hand-over that a blocking one prepares. It is package syscall's, since that of package unix passes its arguments on over the stack.

// send writes what fits into the send buffer, which may be nothing. MSG_NOSIGNAL turns a broken pipe into EPIPE alone.
func send(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// recv reads what has arrived. Its errors are those of TryRead.
func recv(fd int, p []byte) (int, error) {
	switch n, errno := receive(fd, p, 0); {
	case errno != 0:
		return 0, errno
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// peek looks at what has arrived, and copies the beginning to p, which must not be empty.
func peek(fd int, p []byte) (int, State) {
	switch n, errno := receive(fd, p, unix.MSG_PEEK); {
	case errno == unix.EAGAIN:
		return 0, Quiet
	case errno != 0 || n == 0:
		return 0, Gone
	default:
		return n, Readable
	}
}

func receive(fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			flags|unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// acceptAt accepts a connection that does not block and is not handed to other programs. It has the options of its listener.
func acceptAt(fd uintptr) (int, syscall.Errno) {
	accepted, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, fd, 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(accepted), errno
}

// queued is how many bytes wait to be read.
func queued(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCINQ) }

// keepIdle is the option for how long a connection is idle before it is probed.
const keepIdle = unix.TCP_KEEPIDLE

// ending leaves an error for those who read, unlike a read.
func ending(fd int) Ending {
	switch events := poll(fd, unix.POLLRDHUP); {
	case events&^unix.POLLRDHUP != 0: // what is reported unasked: an error, or the end of both sides
		return Broken
	case events != 0:
		return HalfClosed
	}
	return Open
}

// movable: the kernel moves bytes from one socket to another (splice).
const movable = true
