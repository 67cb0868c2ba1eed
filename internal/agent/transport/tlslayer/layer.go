package tlslayer

import (
	"crypto/tls"
	"errors"
	"io"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Layer is an established TLS connection.
type Layer struct {
	tls    *tls.Conn
	socket socket
	info   transport.Info

	opened bool   // see Opened
	peeked []byte // opened by Peek and not read yet
	one    [1]byte
	sealed int // bytes of the user's that socket.out holds; the writing side's
}

var _ transport.Layer = (*Layer)(nil)

// Info implements transport.Layer.
func (l *Layer) Info() transport.Info { return l.info }

// Resumed reports whether the handshake has resumed an earlier session.
func (l *Layer) Resumed() bool { return l.tls.ConnectionState().DidResume }

// TryRead implements transport.Layer.
func (l *Layer) TryRead(p []byte) (int, error) {
	n := copy(p, l.peeked)
	if l.peeked = l.peeked[n:]; len(l.peeked) == 0 {
		l.peeked = nil
	}
	if n == len(p) {
		return n, nil
	}
	more, err := l.open(p[n:])
	if n += more; n > 0 {
		return n, nil // an error comes again
	}
	return 0, err
}

// open opens what has arrived into p, which is not empty, and asks the socket once if it has no more.
func (l *Layer) open(p []byte) (n int, err error) {
	l.socket.drained = false
	for n < len(p) {
		var more int
		if more, err = l.tls.Read(p[n:]); more == 0 {
			return n, l.readError(err)
		}
		n += more
		l.opened = true
	}
	return n, nil
}

// readError says what an error of reading means, and sends on what the peer has been answered.
func (l *Layer) readError(err error) error {
	switch {
	case err == transport.ErrWouldBlock: //nolint:errorlint // it comes bare
		_, _ = l.socket.flush() // an error comes again with the next write
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if l.socket.ended() {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	_, _ = l.socket.flush() // the alert
	return newError(err, 0)
}

// Peek implements transport.Layer.
func (l *Layer) Peek(n int) ([]byte, error) {
	have := len(l.peeked)
	if have >= n {
		return l.peeked[:n], nil
	}
	room := l.one[:]
	if n > 1 {
		room = make([]byte, n-have)
	}
	more, err := l.open(room)
	if have+more == 0 {
		return nil, err
	}
	l.peeked = append(l.peeked, room[:more]...)
	return l.peeked, nil // an error comes again
}

// TryWrite implements transport.Layer.
func (l *Layer) TryWrite(p []byte) (done int, err error) {
	for {
		flushed, err := l.socket.flush()
		if !flushed {
			return done, err
		}
		done += l.sealed
		l.sealed = 0
		if done >= len(p) {
			return min(done, len(p)), nil
		}
		next := p[done:min(len(p), done+maxContent)]
		if _, err := l.tls.Write(next); err != nil {
			return done, l.writeError(err)
		}
		l.sealed = len(next)
	}
}

// maxContent is the most that a record holds (RFC 8446 section 5.1).
const maxContent = 16 << 10

func (l *Layer) writeError(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return newError(err, 0)
}

// CloseWrite implements transport.Layer.
func (l *Layer) CloseWrite() error {
	l.Leave()
	return l.socket.raw.CloseWrite()
}

// Leave implements transport.Layer.
func (l *Layer) Leave() {
	_ = l.tls.CloseWrite() // fails when the connection is broken
	_, _ = l.socket.flush()
}
