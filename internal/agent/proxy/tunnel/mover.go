package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// chunk is what is copied through memory; when that much is waiting, the kernel moves what follows (splice).
	chunk = 16 << 10
	// maxMove bounds one splice, so that the caller can note progress.
	maxMove = 1 << 20
)

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Side is the end of a move at which an error happened.
type Side uint8

// The sides.
const (
	Source Side = iota
	Destination
)

// Mover moves bytes from one TCP connection to others. While it waits it holds neither memory nor a pipe, which io.Copy would;
// few bytes are copied, many are moved by the kernel. It is used by one goroutine.
type Mover struct {
	src     *net.TCPConn
	raw     syscall.RawConn
	try     func(fd uintptr) bool
	avail   func(fd uintptr)
	limited io.LimitedReader
	bulk    bool // much was waiting at the last read

	// arguments and results of the callbacks
	max     int64
	buf     *[chunk]byte
	n       int
	err     error
	waiting int
}

// NewMover returns a Mover that takes from src.
func NewMover(src *net.TCPConn) (*Mover, error) {
	m := new(Mover)
	return m, m.init(src)
}

func (m *Mover) init(src *net.TCPConn) error {
	raw, err := src.SyscallConn()
	m.src, m.raw = src, raw
	m.try, m.avail = m.tryRead, m.countWaiting
	return err
}

// Move waits until there is something to read, moves at least one and at most limit bytes to dst and returns how many dst
// accepted. At the end of the stream the error is io.EOF. The Side is where an error other than that happened; only after a
// timeout at the Source can Move be called again, since nothing is lost then.
func (m *Mover) Move(dst *net.TCPConn, limit int64) (int64, Side, error) {
	if m.bulk && limit > chunk {
		if n, side, err := m.spliceWaiting(dst, limit); n > 0 || err != nil {
			return n, side, err
		}
	}
	m.max = min(limit, chunk)
	if err := m.raw.Read(m.try); err != nil {
		return 0, Source, err
	}
	if m.err != nil {
		return 0, Source, m.err
	}
	n, err := dst.Write(m.buf[:m.n])
	chunks.Put(m.buf)
	m.buf = nil
	moved := int64(n)
	if err != nil {
		return moved, Destination, err
	}
	if m.n < chunk || limit <= chunk {
		return moved, Source, nil
	}
	more, side, err := m.spliceWaiting(dst, limit-moved)
	return moved + more, side, err
}

// spliceWaiting moves what is waiting if it is much. It takes no more than is there, so that only the destination can block.
func (m *Mover) spliceWaiting(dst *net.TCPConn, limit int64) (int64, Side, error) {
	if err := m.raw.Control(m.avail); err != nil {
		return 0, Source, err
	}
	if m.bulk = m.waiting >= chunk; !m.bulk {
		return 0, Source, nil
	}
	m.limited.R, m.limited.N = m.src, min(limit, int64(m.waiting), maxMove)
	n, err := dst.ReadFrom(&m.limited)
	if err != nil {
		return n, m.blame(dst, err), err
	}
	return n, Source, nil
}

// blame finds the side that a splice failed at. A timeout is the destination's if its time is up, and the source's otherwise: whoever
// watches the source may have let its time pass while the destination took nothing. All that was taken from the source has been
// written then. A reset is the source's if that connection no longer exists.
func (m *Mover) blame(dst *net.TCPConn, err error) Side {
	if errors.Is(err, os.ErrDeadlineExceeded) && !late(dst) {
		return Source
	}
	if errors.Is(err, syscall.ECONNRESET) {
		closed := false
		if cerr := m.raw.Control(func(fd uintptr) {
			info, ierr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			closed = ierr == nil && info.State == unix.BPF_TCP_CLOSE
		}); cerr == nil && closed {
			return Source
		}
	}
	return Destination
}

// late reports whether the time to write to the connection is up.
func late(dst *net.TCPConn) bool {
	raw, err := dst.SyscallConn()
	if err == nil {
		err = raw.Write(func(uintptr) bool { return true })
	}
	return err != nil
}

// tryRead tries to read; false means: wait for readability and call again.
func (m *Mover) tryRead(fd uintptr) bool {
	buf, _ := chunks.Get().(*[chunk]byte)
	n, err := syscall.Read(int(fd), buf[:m.max])
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), buf[:m.max])
	}
	if n > 0 {
		m.buf, m.n, m.err = buf, n, nil
		return true
	}
	chunks.Put(buf)
	switch {
	case err == nil:
		m.err = io.EOF
	case errors.Is(err, syscall.EAGAIN):
		return false
	default:
		m.err = &net.OpError{Op: "read", Net: "tcp", Source: m.src.LocalAddr(), Addr: m.src.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	}
	return true
}

func (m *Mover) countWaiting(fd uintptr) {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if err != nil {
		n = 0
	}
	m.waiting = n
}
