package proxy

import (
	"net"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/socket"
)

// line is a connection as the codec reads it: how long a read may wait is set beside it, and a write can be put in front of it.
type line struct {
	conn   *socket.Conn
	reader *http1.Reader

	// before is called by the next read that finds time to wait, in front of the wait; see socket.Conn.ReadAfter.
	before func() error
	// now is recent, until is when reads give up; zero: never.
	now, until time.Time
	// nowait makes reads return socket.ErrNothing instead of waiting.
	nowait bool
	// filled says that the last read without waiting may have left bytes behind.
	filled bool
}

func (l *line) attach(c *socket.Conn) {
	l.conn = c
	l.reader = http1.NewReader(l)
}

// Read implements io.Reader for the codec.
func (l *line) Read(p []byte) (int, error) {
	if l.nowait {
		n, err := l.conn.TryRead(p)
		l.filled = n == len(p)
		return n, err
	}
	n, called, err := l.conn.ReadAfter(l.before, p, l.now, l.until)
	if called {
		l.before = nil
	}
	return n, err
}

// awaitClient waits for the first bytes until a time (zero: for ever), unless the wait is cut short by socket.Conn.Nudge.
func (l *line) awaitClient(until time.Time) error {
	l.now, l.until = time.Now(), until
	return l.reader.More()
}

// SetReadDeadline implements sniff.Deadline.
func (l *line) SetReadDeadline(t time.Time) error {
	l.now, l.until = time.Now(), t
	return nil
}

// TCP implements http1.TCP: large bodies may be spliced. Whoever splices has armed the connection's deadline.
func (l *line) TCP() *net.TCPConn { return l.conn.TCP() }

// sender is the write side of a connection for the codec.
type sender struct {
	conn *socket.Conn
	// stall is the longest time the peer may take nothing; zero: no limit.
	stall time.Duration
}

// Write implements io.Writer.
func (s *sender) Write(p []byte) (int, error) { return s.conn.Write(p, s.stall) }
