package h2

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// leaving is how far a session has come to its end.
type leaving uint8

const (
	_ leaving = iota // it stays
	// warned: the client was asked to open no more streams; those under way to us are served (RFC 9113 section 6.8).
	warned
	// said: it knows which was the last one.
	said
)

const (
	// closeWithin is how long a client may take to close a connection that has ended, once it was sent everything.
	closeWithin = 5 * time.Second
	// stalledWithin is how long it may take nothing of what it is sent before that.
	stalledWithin = 30 * time.Second
)

// Drain has the client open no more streams, and the connection end with those that are open. It may be called from any goroutine.
func (s *Session) Drain() {
	flushed(func(b *batch) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.over && s.opened {
			s.now = time.Now()
			s.sayLeaving(b)
		}
	})
}

// sayLeaving asks the client, once, to open no more streams if the agent drains or the connection has outlived what governs it. It learns which is the last one when it has answered the
// PING behind that, since until then it may open streams.
func (s *Session) sayLeaving(b *batch) {
	if s.leaving >= warned || !s.driver.Draining() && !s.routes.Ends() {
		return
	}
	s.leaving = warned
	o := http2.AppendGoAway(s.out.buffer(), http2.MaxStream, http2.NoError, "")
	s.out.put(http2.AppendPing(o, [8]byte{'d', 'r', 'a', 'i', 'n'}))
	b.add(&s.out)
}

// goAway tells the client which stream is the last one that is served. The connection ends with the last of those that are open.
func (s *Session) goAway(c http2.Code, b *batch) {
	if s.leaving == said {
		return
	}
	s.leaving = said
	s.out.put(http2.AppendGoAway(s.out.buffer(), s.lastID, c, ""))
	b.add(&s.out)
	if len(s.streams) == 0 {
		s.rested(b)
	}
}

// rested is called when no stream is open any more.
func (s *Session) rested(b *batch) {
	s.resting = true
	s.trim()
	if s.leaving == said {
		s.out.last = true
		s.closeIn(stalledWithin)
	}
	b.add(&s.out) // so that written is called
}

// written is called when the client's kernel has taken everything. A connection without streams is idle from then on, and not before: what is
// closed while something waits is cut.
func (s *Session) written(slow bool) {
	if !s.resting || len(s.streams) > 0 {
		return
	}
	s.resting = false
	if slow {
		s.clock(time.Now())
	}
	s.client.Activity.RestedAt(s.now)
	s.client.Activity.Set(drive.Idle)
	if s.leaving == said {
		s.closeIn(closeWithin)
	}
}

// closeIn has the connection, which has ended, closed after a time.
func (s *Session) closeIn(d time.Duration) {
	s.closeBy, s.closeSent = s.now.Add(d), s.out.sent
	s.arm()
}

// periodic does what is due without a stream.
func (s *Session) periodic() {
	switch {
	case s.closeBy.IsZero() || s.now.Before(s.closeBy):
	case s.out.failed == nil && s.out.backlog() > 0 && s.out.sent > s.closeSent: // the client goes on reading
		s.closeIn(stalledWithin)
	default:
		s.closeBy = time.Time{}
		s.client.Conn.Interrupt()
	}
}
