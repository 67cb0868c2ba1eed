package tlslayer

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

const (
	// inSize is how much is received at once: some records of the largest size.
	inSize = 32 << 10
	// maxRecord is the largest record: 2^14 bytes of content, sealed (RFC 8446 section 5.2), with its header.
	maxRecord = 16<<10 + 256 + 5
	// maxPending bounds sealed bytes that wait for the socket: one record of the user's, and answers to the peer's, which come to more
	// only if it asks and reads nothing.
	maxPending = maxRecord + 4<<10
)

var (
	inputs  = sync.Pool{New: func() any { return new([inSize]byte) }}
	outputs = sync.Pool{New: func() any { return new([maxPending]byte) }}
)

// errFlood ends a connection whose peer asks for answers and takes none.
var errFlood = errors.New("tlslayer: the peer takes no answers")

// socket is the net.Conn that crypto/tls reads and writes. During the handshake it waits, by way of conn; later never. Buffers come from
// pools and go back when they are empty.
type socket struct {
	conn    *transport.Conn
	raw     transport.Raw
	shaking bool
	// accepting: the handshake is one with a client; until: it ends then, zero: never.
	accepting bool
	until     time.Time
	// received: the handshake has read from the socket; answered: it has sent something that is no alert; declined: it would have begun with one.
	received, answered, declined bool
	records                      *records // that the handshake has read; nil: nobody asks

	// the reading side's
	in      []byte // received and not read yet, in inBuf, if that is not nil
	inBuf   *[inSize]byte
	drained bool  // the socket had no more when it was last asked; the next TryRead asks again
	err     error // what the socket ended with
	// alert is the last one that was sent unsealed, as before keys are agreed on; 0: none.
	alert uint8

	mu sync.Mutex // the reading side answers the peer while the writing side writes
	// guarded by mu
	out    []byte // sealed and not sent yet, in outBuf
	outBuf *[maxPending]byte
	outErr error
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		if err := s.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.in)
	if s.records != nil {
		s.records.see(p[:n])
	}
	if s.in = s.in[n:]; len(s.in) == 0 {
		if s.inBuf != nil {
			inputs.Put(s.inBuf)
		}
		s.in, s.inBuf = nil, nil
	}
	return n, nil
}

// receive fills in.
func (s *socket) receive() error {
	switch {
	case s.err != nil:
		return s.err
	case s.drained:
		return transport.ErrWouldBlock
	}
	buf, _ := inputs.Get().(*[inSize]byte)
	n, err := s.readInto(buf[:])
	if err != nil {
		inputs.Put(buf)
		if err != transport.ErrWouldBlock { //nolint:errorlint // it comes bare
			s.err = err
		}
		return err
	}
	s.drained = n < len(buf) && !s.shaking
	s.in, s.inBuf = buf[:n], buf
	return nil
}

func (s *socket) readInto(p []byte) (int, error) {
	if s.shaking {
		s.received = true
		return s.conn.Read(p, time.Now(), s.until)
	}
	return s.raw.TryRead(p)
}

// Write implements net.Conn. It takes one record, or several of the handshake.
func (s *socket) Write(p []byte) (int, error) {
	if s.shaking {
		s.noteAlert(p)
		if s.accepting && !s.answered && p[0] == recordAlert {
			s.declined = true
			return len(p), nil
		}
		s.answered = true
		return s.conn.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outErr != nil {
		return 0, s.outErr
	}
	sent := 0
	if len(s.out) == 0 {
		n, err := s.raw.TryWrite(p)
		if err != nil {
			s.outErr = err
			return 0, err
		}
		sent = n
	}
	if sent < len(p) {
		if err := s.keep(p[sent:]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// keep keeps what the socket did not take. It expects the lock.
func (s *socket) keep(p []byte) error {
	if len(s.out)+len(p) > maxPending {
		s.outErr = errFlood
		return errFlood
	}
	if s.outBuf == nil {
		s.outBuf, _ = outputs.Get().(*[maxPending]byte)
		s.out = s.outBuf[:0]
	}
	if len(s.out)+len(p) > cap(s.out) { // the front has been sent
		s.out = s.outBuf[:copy(s.outBuf[:], s.out)]
	}
	s.out = append(s.out, p...)
	return nil
}

// flush sends what was kept, and reports whether nothing is left.
func (s *socket) flush() (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outErr != nil || len(s.out) == 0 {
		return s.outErr == nil, s.outErr
	}
	n, err := s.raw.TryWrite(s.out)
	if err != nil {
		s.outErr = err
		return false, err
	}
	if s.out = s.out[n:]; len(s.out) > 0 {
		return false, nil
	}
	outputs.Put(s.outBuf)
	s.out, s.outBuf = nil, nil
	return true, nil
}

// recordAlert is the type of a record that holds an alert (RFC 8446 section 5.1).
const recordAlert = 21

// noteAlert notes an alert that is not sealed: crypto/tls says by it alone which of its checks a peer has failed.
func (s *socket) noteAlert(p []byte) {
	if len(p) == 7 && p[0] == recordAlert {
		s.alert = p[6]
	}
}

// ended reports whether the socket has ended without an error.
func (s *socket) ended() bool { return s.err == io.EOF } //nolint:errorlint // it comes bare

// Close implements net.Conn. The connection is closed by its driver.
func (s *socket) Close() error { return nil }

// SetDeadline implements net.Conn: the driver of the connection bounds its waits.
func (s *socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn. crypto/tls names sessions by addresses where there is no server name.
func (s *socket) LocalAddr() net.Addr { return noAddr{} }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return noAddr{} }

type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }
