package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// line is a connection as the codec reads it: how long a read may wait is set beside it, and a write can be put in front of it.
type line struct {
	conn   *transport.Conn
	reader *http1.Reader

	// before is called by the next read that finds time to wait, in front of the wait; see transport.Conn.WriteThenRead.
	before func() error
	// now is recent, until is when reads give up; zero: never.
	now, until time.Time
	// nowait makes reads return transport.ErrWouldBlock instead of waiting.
	nowait bool
	// filled says that the last read may have left bytes behind.
	filled bool
	// got counts the bytes read.
	got int64
}

func (l *line) attach(c *transport.Conn) {
	l.conn = c
	l.reader = http1.NewReader(l)
}

// Read implements io.Reader for the codec.
func (l *line) Read(p []byte) (int, error) {
	if l.nowait {
		n, err := l.conn.TryRead(p)
		l.took(n, p)
		return n, err
	}
	n, called, err := l.conn.WriteThenRead(l.before, p, l.now, l.until)
	if called {
		l.before = nil
	}
	l.took(n, p)
	return n, err
}

func (l *line) took(n int, p []byte) {
	l.filled = n == len(p)
	l.got += int64(n)
}

// quiet reports whether nothing has come behind the message that was read last. What the last read did not take would still be
// there, so the connection need not be looked at unless that read had no room for more.
func (l *line) quiet() bool {
	return len(l.reader.Buffered()) == 0 && (!l.filled || l.conn.Peek() == transport.Quiet)
}

// awaitClient waits for the first bytes until a time (zero: for ever), unless the wait is cut short by transport.Conn.Wake.
func (l *line) awaitClient(until time.Time) error {
	l.now, l.until = time.Now(), until
	return l.reader.More()
}

// SetReadDeadline implements sniff.Deadline.
func (l *line) SetReadDeadline(t time.Time) error {
	l.now, l.until = time.Now(), t
	return nil
}

// Transport implements http1.Transported: large bodies may be spliced. Whoever splices has armed the connection's deadline.
func (l *line) Transport() *transport.Conn { return l.conn }
