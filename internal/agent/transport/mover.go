package transport

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// chunk is what is copied through memory; when that much is waiting, the kernel moves what follows (splice).
	chunk = 16 << 10
	// MaxMove bounds one splice, so that the caller learns of progress.
	MaxMove = 1 << 20
)

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Side is the end of a move at which an error happened.
type Side uint8

// The sides.
const (
	Source Side = iota
	Destination
)

// Mover moves bytes from one connection to others. While it waits it holds neither memory nor a pipe, which io.Copy would; few bytes
// are copied, many are moved by the kernel if both connections are plain. It is used by one goroutine. Others may close the connections.
type Mover struct {
	// immutable after Init
	src      *Conn
	readStep func(fd uintptr) bool

	bulk bool // much was waiting when last looked
	owes bool // the next read is to take a turn: nothing was there for the last, or it has taken none

	// arguments and results of the callbacks
	max  int64
	dst  *Conn
	buf  *[chunk]byte
	pipe *pipe // nil: what is read goes through memory
	n    int
	err  error
}

// Init makes m take from src.
func (m *Mover) Init(src *Conn) {
	m.src, m.readStep = src, m.read
}

// Move waits until there is something to read or the time of src.Arm has come, moves at least one and at most limit bytes to dst, by
// the time of dst.SetWriteDeadline, and returns how many dst accepted. At the end of the stream the error is io.EOF. The Side is where
// an error other than that happened; only after a timeout at the Source can Move be called again, since nothing is lost then.
func (m *Mover) Move(dst *Conn, limit int64) (int64, Side, error) {
	if m.bulk && limit > chunk {
		if n, side, err := m.splice(dst, limit); n > 0 || err != nil {
			return n, side, err
		}
	}
	m.max = min(limit, chunk)
	if err := m.src.waitArmed(m.readStep); err != nil {
		return 0, Source, err
	}
	if m.err != nil {
		return 0, Source, m.err
	}
	m.bulk = m.n == chunk && m.src.Plain() && dst.Plain()
	m.dst = dst
	err := dst.write(m)
	chunks.Put(m.buf)
	m.buf, m.dst = nil, nil
	switch {
	case err != nil:
		return 0, Destination, cause(err)
	case m.err != nil:
		return int64(m.n), Destination, m.err
	}
	return int64(m.n), Source, nil
}

// write runs while the descriptor of the destination is kept.
func (m *Mover) write() { m.n, m.err = m.dst.Write(m.buf[:m.n]) }

// takeTurn takes the turn that is owed, if one is. What comes by and by takes one each time, and what never ends one for two reads.
func (m *Mover) takeTurn() (taken bool) {
	if m.owes && m.src.turn != nil {
		m.src.turn()
	}
	return m.owes
}

// read tries to read; false means: wait for readability and call again.
func (m *Mover) read(fd uintptr) bool {
	if m.pipe != nil {
		m.fillPipe(int(fd))
		return true
	}
	paid := m.takeTurn()
	buf, _ := chunks.Get().(*[chunk]byte)
	m.n, m.err = m.src.TryRead(buf[:m.max])
	m.owes = !paid || m.err != nil
	if m.err == nil {
		m.buf = buf
		return true
	}
	chunks.Put(buf)
	return m.err != ErrWouldBlock //nolint:errorlint // TryRead returns it bare
}

// splice moves what is waiting if it is much. It takes no more than is there, so that only the destination can block.
func (m *Mover) splice(dst *Conn, limit int64) (int64, Side, error) {
	p := takePipe()
	if p == nil {
		return 0, Source, nil // no descriptors left: what can be copied is
	}
	defer p.putBack()
	m.max, m.pipe, m.n, m.err = min(limit, MaxMove), p, 0, nil
	err := m.src.waitArmed(m.readStep)
	m.pipe = nil
	switch {
	case err != nil:
		return 0, Source, err
	case m.err != nil:
		return 0, Source, m.err
	case m.n == 0:
		return 0, Source, nil
	}
	n, err := p.drain(dst)
	if err != nil {
		return n, Destination, err
	}
	return n, Source, nil
}

// fillPipe takes nothing unless much is waiting.
func (m *Mover) fillPipe(fd int) {
	waiting, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if m.bulk = err == nil && waiting >= chunk; m.bulk {
		m.owes = !m.takeTurn()
		m.n, m.err = m.pipe.fill(fd, int(min(m.max, int64(waiting))))
	}
}
