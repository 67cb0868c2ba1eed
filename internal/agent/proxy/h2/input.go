package h2

import (
	"errors"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/turns"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// readSize is how much is read at once. A frame fits it twice.
const readSize = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// input is the reading side of a connection. It belongs to the goroutine that reads.
type input struct {
	// immutable
	conn *transport.Conn
	// frames acts on what was read, and returns how much of it it has used up. It reports an error when the connection is to end.
	frames func(b []byte) (used int, err error)
	step   func(fd uintptr) bool // bound once

	parser *http2.Parser
	// turns are those of the pod that reads are steps of; nil: of none.
	turns *turns.Pod
	// headTimeout is how long a header block may take from its beginning.
	headTimeout time.Duration

	// full, if not nil, is asked after frames: true ends the reading with errCongested.
	full    func() bool
	prefix  []byte    // what was read and not used up: a part of a frame, or more after errCongested
	headBy  time.Time // when the header block must have come that has begun; zero: none has
	account *podAccount
	charged int
	err     error
}

func (in *input) init(c *transport.Conn, p *http2.Parser, headTimeout time.Duration, frames func([]byte) (int, error)) {
	in.conn, in.parser, in.headTimeout, in.frames = c, p, headTimeout, frames
	in.step = in.read
}

// keptPrefix is how much memory for the beginning of a frame is kept behind it.
const keptPrefix = 1 << 10

// errHead ends a read because a header block has begun or come to its end, which changes until when is read.
var errHead = errors.New("h2: header block")

// serve reads until the connection ends, or until a time; zero: for ever.
func (in *input) serve(now, until time.Time) error {
	for {
		err := in.conn.Serve(in.step, now, drive.Earlier(until, in.headBy))
		if err == nil {
			err = in.err
		}
		switch {
		case errors.Is(err, errHead):
			now = time.Now()
		case errors.Is(err, os.ErrDeadlineExceeded) && drive.Passed(in.headBy, time.Now()):
			return http2.ErrHeadTimeout
		default:
			return err
		}
	}
}

// headChanged notes whether a header block has begun, or come to its end, and reports whether that is new.
func (in *input) headChanged(rest []byte) bool {
	began := in.parser.InHead(rest)
	if began != in.headBy.IsZero() {
		return false
	}
	if in.headBy = (time.Time{}); began {
		in.headBy = time.Now().Add(in.headTimeout)
	}
	return true
}

// charge accounts for what is kept of what was read, but for what each connection may keep.
func (in *input) charge() {
	n := cap(in.prefix)
	if n <= keptPrefix {
		n = 0
	}
	if !in.headBy.IsZero() {
		n += in.parser.Memory()
	}
	if n != in.charged && in.account != nil {
		in.account.add(n - in.charged)
		in.charged = n
	}
}

func (in *input) discharge() {
	in.account.add(-in.charged)
	in.charged = 0
}

// read reads and acts on what has arrived. It reports true when the connection is to end, with in.err. It reads until there is nothing: that what
// came was less than there was room for does not say so, since the peer's end may have come with it, and the kernel reports it once.
func (in *input) read(uintptr) (done bool) {
	in.turns.Enter()
	buf := readBuffers.Get().(*[readSize]byte)
	have := copy(buf[:], in.prefix)
	for ; ; buf, have = in.turn(buf, have) {
		n, err := in.conn.TryRead(buf[have:])
		if err != nil {
			in.keep(buf, have)
			if errors.Is(err, transport.ErrWouldBlock) {
				return false
			}
			in.err = err
			return true
		}
		have += n
		used, err := in.frames(buf[:have])
		if err != nil {
			in.keep(buf, 0)
			in.err = err
			return true
		}
		have = copy(buf[:], buf[used:have])
		head := in.headChanged(buf[:have])
		if in.full != nil && in.full() {
			in.keep(buf, have)
			in.err = errCongested
			return true
		}
		if head {
			in.keep(buf, have)
			in.err = errHead
			return true
		}
		if in.conn.Interrupted() { // of which the reading hears only while it waits
			in.keep(buf, have)
			in.err = transport.ErrInterrupted
			return true
		}
	}
}

// turn waits until the pod may take another step. It comes between two reads too, as many requests fit one. Nothing is held meanwhile but the beginning
// of a frame: thousands of connections may wait.
func (in *input) turn(buf *[readSize]byte, have int) (*[readSize]byte, int) {
	if in.turns.TryEnter() {
		return buf, have
	}
	in.keep(buf, have)
	in.turns.Await()
	buf = readBuffers.Get().(*[readSize]byte)
	return buf, copy(buf[:], in.prefix)
}

// again acts on what was read before.
func (in *input) again() error {
	b := in.prefix
	in.prefix = nil
	used, err := in.frames(b)
	in.prefix = append(in.prefix, b[used:]...)
	in.headChanged(in.prefix)
	in.charge()
	return err
}

// keep gives the buffer back, but for the beginning of a frame.
func (in *input) keep(buf *[readSize]byte, have int) {
	if have == 0 && cap(in.prefix) > keptPrefix {
		in.prefix = nil
	}
	in.prefix = append(in.prefix[:0], buf[:have]...)
	readBuffers.Put(buf)
	in.charge()
}

// queue holds bytes of a stream that the other side has not taken, in the order of arrival. The zero value is empty.
type queue struct {
	chunks []*chunk
	at     int // in the first one
	to     int // in the last one
	size   int
}

const chunkSize = 8 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// push appends bytes, and returns how much more memory that has taken.
func (q *queue) push(p []byte) (grown int) {
	q.size += len(p)
	for len(p) > 0 {
		if len(q.chunks) == 0 || q.to == chunkSize {
			q.chunks = append(q.chunks, chunks.Get().(*chunk))
			q.to = 0
			grown += chunkSize
		}
		n := copy(q.chunks[len(q.chunks)-1][q.to:], p)
		q.to += n
		p = p[n:]
	}
	return grown
}

// front returns the first bytes, in one piece; none when the queue is empty.
func (q *queue) front() []byte {
	if len(q.chunks) == 0 {
		return nil
	}
	end := chunkSize
	if len(q.chunks) == 1 {
		end = q.to
	}
	return q.chunks[0][q.at:end]
}

// pop takes n bytes off the front, no more than it has returned, and returns how much memory has become free.
func (q *queue) pop(n int) (freed int) {
	q.size -= n
	q.at += n
	if q.at < chunkSize && q.size > 0 {
		return 0
	}
	chunks.Put(q.chunks[0])
	copy(q.chunks, q.chunks[1:])
	q.chunks[len(q.chunks)-1] = nil
	q.chunks = q.chunks[:len(q.chunks)-1]
	q.at = 0
	return chunkSize
}

// clear empties the queue, and returns how much memory has become free.
func (q *queue) clear() (freed int) {
	for i, c := range q.chunks {
		chunks.Put(c)
		q.chunks[i] = nil
		freed += chunkSize
	}
	q.chunks, q.at, q.to, q.size = q.chunks[:0], 0, 0, 0
	return freed
}
