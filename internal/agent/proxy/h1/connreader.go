package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// connReader is a connection as the codec reads it: how long a read may wait is set beside it, and a write can be put in front of it.
type connReader struct {
	conn   *transport.Conn
	reader http1.Reader

	// before is called by the next read that finds time to wait, in front of the wait; see transport.Conn.WriteThenRead.
	before func() error
	// now is recent, until is when reads give up; zero: never.
	now, until transport.Instant
	// noWait makes reads return transport.ErrWouldBlock instead of waiting.
	noWait bool
	// filled says that the last read may have left bytes behind.
	filled bool
	// received counts the bytes read.
	received int64
}

func (l *connReader) attach(c *transport.Conn) {
	l.conn = c
	l.reader.Init(l)
}

// bound has reads give up at until; zero: never. now must be recent.
func (l *connReader) bound(now, until time.Time) {
	l.now, l.until = transport.At(now), transport.At(until)
}

// Read implements io.Reader for the codec.
func (l *connReader) Read(p []byte) (int, error) {
	if l.noWait {
		n, err := l.conn.TryRead(p)
		l.count(n, p)
		return n, err
	}
	n, called, err := l.conn.WriteThenRead(l.before, p, l.now, l.until)
	if called {
		l.before = nil
	}
	l.count(n, p)
	return n, err
}

func (l *connReader) count(n int, p []byte) {
	l.filled = n == len(p)
	l.received += int64(n)
}

// clean reports whether no unread bytes follow the last message. The socket is peeked at only if the last read filled its buffer,
// since a short read has drained it.
func (l *connReader) clean() bool {
	return len(l.reader.Buffered()) == 0 && (!l.filled || l.conn.Peek() == transport.Quiet)
}

// SetReadDeadline implements detect.Deadline.
func (l *connReader) SetReadDeadline(t time.Time) error {
	l.bound(time.Now(), t)
	return nil
}

// Transport implements http1.Transported: large bodies may be spliced. Whoever splices has armed the connection's deadline.
func (l *connReader) Transport() *transport.Conn { return l.conn }
