package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// pinnedServer is the server that an idle client connection is pinned to. Where the client chose the address (pinned), the end of the
// server's connection ends the client's too, as it would without a proxy: the client looks the name up again (rule 25).
type pinnedServer struct {
	conn *transport.Conn // that served the client last; nil: none matters
	wait time.Duration
	// until is when the server ends it, as it has announced; zero: it has not. The agent itself ends its own connection before.
	until transport.Instant
}

// When an idle connection's server is checked: first soon after a request, then at growing intervals, so that the cost and the delay
// are in proportion to how long the connection has been idle.
const (
	firstServerLook = 250 * time.Millisecond
	maxServerLook   = 15 * time.Second
)

// endsAt notes what the server has announced.
func (d *pinnedServer) endsAt(until time.Time) {
	if d.conn != nil {
		d.until = transport.At(until)
	}
}

// pinTo notes the connection that serves the request under way.
func (s *Session) pinTo(c *transport.Conn) {
	if s.routes.Pinned() {
		c.NoteEnding()
		s.server = pinnedServer{conn: c}
	}
}

// pinTo is that of the session, unless the call has fallen back on what is no choice of the client's.
func (x *exchange) pinTo(c *transport.Conn) {
	if x.Pinned && !x.KeepsAddress() {
		x.s.server = pinnedServer{}
		return
	}
	x.s.pinTo(c)
}

// forget has the end of a connection mean nothing, since it is our doing.
func (s *Session) forget(c *transport.Conn) {
	if s.server.conn == c {
		s.server = pinnedServer{}
	}
}

// nextServerLook returns when the wait for the next request ends to check the server, at until at the latest; zero: never.
func (s *Session) nextServerLook(now, until time.Time) time.Time {
	d := &s.server
	if d.conn == nil {
		return until
	}
	d.wait = min(max(firstServerLook, 2*d.wait), maxServerLook)
	return drive.Earlier(drive.Earlier(until, d.until.Time()), now.Add(d.wait))
}

// serverEnded reports whether the session is to end because its server has ended or reset the connection, and the client has sent
// nothing meanwhile.
func (s *Session) serverEnded() bool {
	if s.server.conn == nil {
		return false
	}
	readable := false
	if s.client.Conn.Pin(func() { readable = s.client.Conn.Peek() == transport.Readable }) != nil {
		return true // closed from outside
	}
	if readable {
		s.server.until = 0 // another request comes in time
		return false
	}
	end := s.server.conn.PeerEnding()
	if end == transport.Broken {
		s.client.Conn.ResetOnClose()
	}
	return end != transport.Open || drive.Passed(s.server.until.Time(), time.Now())
}
