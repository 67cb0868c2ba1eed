package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/proxy/opaque"
)

// Limits of a message head (semantics rule 30).
const (
	// MaxLine is the longest start line, CRLF not counted.
	MaxLine = 16 << 10
	// MaxFields is the largest header block or trailer section.
	MaxFields = 64 << 10
)

// minRoom is the smallest space worth reading into.
const minRoom = 512

// Reader reads the messages that arrive on one connection. It is used by one goroutine.
//
// For each message: Await (optional), ReadRequest or ReadResponse, the Body until io.EOF, Finish. The head's bytes stay valid
// until Finish. After an error other than a timeout the Reader is good for Close only.
type Reader struct {
	// immutable after Reset
	src io.Reader
	tcp *net.TCPConn // src, if it is one
	raw syscall.RawConn

	// The current message starts at start; pos is the first byte not yet consumed, end the end of what was read.
	buf             *buffer
	start, pos, end int
	scan            int   // no line feed in [pos, scan)
	head            *Head // parsed or being parsed, its bytes pinned at start
	full            bool  // the last read filled all the space there was

	// results of rawRead
	rawN   int
	rawErr error
	lazily func(fd uintptr) bool

	mover *opaque.Mover // made for the first body that is spliced
}

// NewReader returns a Reader of src. If src is a *net.TCPConn, waiting for a message holds no buffer and large bodies can be
// spliced.
func NewReader(src io.Reader) *Reader {
	r := &Reader{src: src}
	if tcp, ok := src.(*net.TCPConn); ok {
		r.tcp = tcp
		if raw, err := tcp.SyscallConn(); err == nil {
			r.raw, r.lazily = raw, r.rawRead
		}
	}
	return r
}

// Preload puts bytes that were already read from the connection in front of what will be read. It is called before anything
// else, with at most 64 KiB.
func (r *Reader) Preload(p []byte) {
	if len(p) == 0 {
		return
	}
	r.buf = getBuffer(len(p))
	r.end = copy(r.buf.data, p)
}

// Buffered returns what was read and not yet consumed: after Finish the beginning of the next message, after a switch of
// protocols the tunnel's first bytes. The bytes are valid until the next call.
func (r *Reader) Buffered() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.data[r.pos:r.end]
}

// Read hands out what is buffered, then reads from the connection. It serves those who go on without the codec.
func (r *Reader) Read(p []byte) (int, error) {
	if b := r.Buffered(); len(b) > 0 {
		n := copy(p, b)
		r.pos += n
		return n, nil
	}
	return r.src.Read(p)
}

// Await blocks until at least one byte is buffered. Until then, on a TCP connection, no buffer is held.
func (r *Reader) Await() error {
	if r.pos < r.end {
		return nil
	}
	return r.fill()
}

// More reads at least one byte more than is buffered, before a message is parsed. Up to 64 KiB can be looked at in this way.
func (r *Reader) More() error {
	if r.end-r.start >= MaxFields {
		return ErrHeadTooLarge
	}
	return r.fill()
}

// Finish ends the current message, whose body has been consumed; its head is no longer valid. Without bytes of a next message
// the buffer goes back to the pool.
func (r *Reader) Finish() {
	r.head = nil
	r.start, r.scan = r.pos, r.pos
	if r.pos == r.end {
		r.release()
	}
}

// Close gives the buffer back. It does not close the connection.
func (r *Reader) Close() {
	r.head = nil
	r.release()
}

func (r *Reader) release() {
	if r.buf != nil {
		putBuffer(r.buf)
		r.buf = nil
	}
	r.start, r.pos, r.end, r.scan, r.full = 0, 0, 0, 0, false
}

// fill reads at least one byte more, making room for it.
func (r *Reader) fill() error {
	if r.buf == nil && r.raw != nil {
		return r.fillLazily()
	}
	if err := r.makeRoom(); err != nil {
		return err
	}
	room := r.buf.data[r.end:]
	n, err := r.src.Read(room)
	r.end += n
	r.full = n == len(room)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if r.head == nil && r.pos == r.end {
		r.release()
	}
	return err
}

// fillLazily waits until the connection is readable and only then takes a buffer. It costs no more system calls than an
// ordinary read, which also tries, waits and tries again.
func (r *Reader) fillLazily() error {
	if err := r.raw.Read(r.lazily); err != nil {
		return err
	}
	if r.rawErr != nil {
		return r.rawErr
	}
	r.end = r.rawN
	r.full = r.rawN == len(r.buf.data)
	return nil
}

// rawRead tries to read; false means: wait for readability and call again.
func (r *Reader) rawRead(fd uintptr) bool {
	b := getBuffer(smallBuffer)
	n, err := syscall.Read(int(fd), b.data)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), b.data)
	}
	if n > 0 {
		r.buf, r.rawN, r.rawErr = b, n, nil
		return true
	}
	putBuffer(b)
	switch {
	case err == nil:
		r.rawErr = io.EOF
	case errors.Is(err, syscall.EAGAIN):
		return false
	default:
		r.rawErr = &net.OpError{Op: "read", Net: "tcp", Source: r.tcp.LocalAddr(), Addr: r.tcp.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	}
	return true
}

// makeRoom sees to it that there is space behind end: by forgetting consumed bytes, by moving the message to the front, or by
// taking a larger buffer. Only unconsumed bytes and the pinned head survive.
func (r *Reader) makeRoom() error {
	if r.buf == nil {
		r.buf = getBuffer(smallBuffer)
		return nil
	}
	r.dropConsumed()
	want := r.end - r.start + minRoom
	if r.full && r.bodyFlows() {
		// The body comes in faster than this buffer takes it.
		want = max(want, min(4*len(r.buf.data), bodyBuffer))
	}
	switch {
	case want <= len(r.buf.data) && len(r.buf.data)-r.end >= minRoom:
	case want <= len(r.buf.data):
		copy(r.buf.data, r.buf.data[r.start:r.end])
		r.move(r.buf)
	case want <= headBuffer:
		larger := getBuffer(want)
		copy(larger.data, r.buf.data[r.start:r.end])
		putBuffer(r.buf)
		r.move(larger)
	case r.end == len(r.buf.data):
		return ErrHeadTooLarge
	}
	return nil
}

// dropConsumed forgets the consumed bytes of the body, which lie between the head and pos.
func (r *Reader) dropConsumed() {
	if !r.bodyFlows() {
		return
	}
	base := r.start + len(r.head.raw)
	if r.pos > base {
		r.end = base + copy(r.buf.data[base:], r.buf.data[r.pos:r.end])
		r.pos, r.scan = base, base
	}
}

// bodyFlows says whether the head is complete, so that what follows it is body.
func (r *Reader) bodyFlows() bool { return r.head != nil && r.head.raw != nil }

// move makes to the buffer, to the front of which the message has been copied.
func (r *Reader) move(to *buffer) {
	r.buf = to
	r.pos, r.end, r.scan, r.start = r.pos-r.start, r.end-r.start, r.scan-r.start, 0
	if r.bodyFlows() {
		r.head.raw = to.data[:len(r.head.raw)]
	}
}
