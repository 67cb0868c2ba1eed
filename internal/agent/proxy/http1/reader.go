package http1

import (
	"io"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Limits of a message (rule 30). They are above what common servers and clients take unless they are configured otherwise
// (Apache and Tomcat 8 KiB, Node 16 KiB, nginx 32 KiB, Envoy 60 KiB, curl 300 KiB for a response), so that it is their limits
// that a user meets. Buffers grow with what arrives, not with the limit.
const (
	// MaxLine is the longest start line, CRLF not counted.
	MaxLine = 64 << 10
	// MaxFields is the largest header block or trailer section.
	MaxFields = 256 << 10
	// MaxChunkLine is the longest line before a chunk, its extensions included and CRLF not counted.
	MaxChunkLine = 16 << 10
)

// maxLook bounds what More reads before a message is parsed.
const maxLook = 64 << 10

// minRoom is the smallest space worth reading into.
const minRoom = 512

// Memory is an account of the memory that readers share. Its methods must not block.
type Memory interface {
	// Reserve takes n bytes, or none if they are not to be had.
	Reserve(n int64) bool
	// Release gives reserved bytes back.
	Release(n int64)
}

// Reader reads the messages that arrive on one connection. It is used by one goroutine.
//
// For each message: Await (optional), ReadRequest or ReadResponse, the Body until io.EOF, Finish. The head's bytes stay valid
// until Finish. After an error of the protocol the Reader is good for Close only; after a timeout one can go on.
type Reader struct {
	// immutable after Init
	src io.Reader

	// The current message starts at start; pos is the first byte not yet consumed, end the end of what was read.
	buf             *buffer
	start, pos, end int
	scan            int              // no line feed in [pos, scan)
	head            *Head            // parsed or being parsed, its bytes pinned at start
	mending         bool             // head is being read by the rules of lenient.go
	full            bool             // the last read filled all the space there was
	reserved        int32            // of memory
	mover           *transport.Mover // made for the first body that is spliced
	memory          Memory           // nil: there is as much as messages may take
}

// Transported is something on top of a *transport.Conn. Large bodies between two of them, or one and a bare one, can be spliced.
type Transported interface {
	Transport() *transport.Conn
}

// NewReader returns a Reader of src. If src is Transported, large bodies can be spliced.
func NewReader(src io.Reader) *Reader {
	r := &Reader{}
	r.Init(src)
	return r
}

// Init makes r, which is zero, what NewReader returns.
func (r *Reader) Init(src io.Reader) { r.src = src }

// MaxPreload is the most that Preload takes: a head that the reader would accept.
const MaxPreload = MaxLine + MaxFields

// Preload has p be what the source was read of before the Reader, which has read nothing yet. At most MaxPreload bytes.
func (r *Reader) Preload(p []byte) {
	if len(p) == 0 {
		return
	}
	r.buf = getBuffer(len(p) + minRoom)
	r.end = copy(r.buf.data, p)
}

// Account has the memory of heads beyond the first 4 KiB come from m, until the next Account. It is for a Reader between two messages.
func (r *Reader) Account(m Memory) { r.memory = m }

func connOf(rw any) *transport.Conn {
	switch c := rw.(type) {
	case *transport.Conn:
		return c
	case Transported:
		return c.Transport()
	}
	return nil
}

// Buffered returns what was read and not yet consumed: after Finish the beginning of the next message, after a switch of
// protocols the tunnel's first bytes. The bytes are valid until the next call.
func (r *Reader) Buffered() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.data[r.pos:r.end]
}

// Message returns everything that was read of the current message and of what follows it, the consumed part of the head
// included, for those who pass it on untouched. The bytes are valid until the next call.
func (r *Reader) Message() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.data[r.start:r.end]
}

// Begun reports whether something was read of the current message, empty lines in front of it not counted.
func (r *Reader) Begun() bool { return r.end > r.start }

// Await reads until at least one byte is buffered. If the connection has none, which a source that does not wait says by an
// error, no buffer is held afterwards.
func (r *Reader) Await() error {
	if r.pos < r.end {
		return nil
	}
	return r.fill()
}

// More reads at least one byte more than is buffered, before a message is parsed. Up to 64 KiB can be looked at in this way.
func (r *Reader) More() error {
	if r.end-r.start >= maxLook {
		return ErrHeadTooLarge
	}
	return r.fill()
}

// Finish ends the current message, whose body has been consumed; its head is no longer valid. Without bytes of a next message
// the buffer goes back to the pool.
func (r *Reader) Finish() {
	r.head, r.mending = nil, false
	r.start, r.scan = r.pos, r.pos
	if r.pos == r.end {
		r.release()
	}
}

// Close gives the buffer back. It does not close the connection.
func (r *Reader) Close() {
	r.head, r.mending = nil, false
	r.release()
}

func (r *Reader) release() {
	if r.buf != nil {
		putBuffer(r.buf)
		r.buf = nil
	}
	r.Forfeit()
	r.start, r.pos, r.end, r.scan, r.full = 0, 0, 0, 0, false
}

// Forfeit gives back what is accounted for. A Reader that was in the midst of a panic is good for nothing else.
func (r *Reader) Forfeit() {
	if r.reserved > 0 {
		r.memory.Release(int64(r.reserved))
		r.reserved = 0
	}
}

// fill reads at least one byte more, making room for it.
func (r *Reader) fill() error {
	if !r.makeRoom() {
		return ErrMemory
	}
	room := r.buf.data[r.end:]
	if len(room) == 0 {
		return ErrHeadTooLarge
	}
	n, err := r.src.Read(room)
	r.end += n
	r.full = n == len(room)
	switch {
	case n > 0:
		return nil
	case err == nil:
		err = io.ErrNoProgress
	}
	if r.head == nil && r.pos == r.end {
		r.release()
	}
	return err
}

// makeRoom sees to it that there is space behind end: by forgetting consumed bytes, by moving the message to the front, or by
// taking a larger buffer. Only unconsumed bytes and the pinned head survive. It fails when there is no memory for the latter.
func (r *Reader) makeRoom() bool {
	if r.buf == nil {
		r.buf = getBuffer(smallBuffer)
		return true
	}
	r.dropConsumed()
	want := r.end - r.start + minRoom
	if want > len(r.buf.data) && want <= headBuffer && !r.reserve(want) {
		return r.bodyFlows() && r.end < len(r.buf.data) // a body can do with less
	}
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
	}
	return true
}

// reserve accounts for a buffer of so many bytes that a message needs. One that only lets a body come in faster is not accounted for.
func (r *Reader) reserve(size int) bool {
	more := sizes[classOf(size)] - int(r.reserved)
	if r.memory == nil || more <= 0 {
		return true
	}
	if !r.memory.Reserve(int64(more)) {
		return false
	}
	r.reserved += int32(more)
	return true
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

// bodyFlows reports whether the head is complete, so that what follows it is body.
func (r *Reader) bodyFlows() bool { return r.head != nil && r.head.raw != nil }

// move makes to the buffer, to the front of which the message has been copied.
func (r *Reader) move(to *buffer) {
	r.buf = to
	r.pos, r.end, r.scan, r.start = r.pos-r.start, r.end-r.start, r.scan-r.start, 0
	if r.bodyFlows() {
		r.head.raw = to.data[:len(r.head.raw)]
	}
}
