package h2

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// maxUndecided is how much is read of a connection to find its first request; a header block fits.
const maxUndecided = http2.MaxBlock + (64 << 10)

// governed reports whether a policy governs the connection: whatever it carries, or its first request. Nothing is sent before that is
// decided, so that a connection that is not ours is as if nobody were there. A client that waits for the server's SETTINGS before it sends
// a request, as some do, gets ours, and requests of its that no policy governs are forwarded to where it wanted to go.
func (s *Session) governed() bool {
	if s.routes.Governed() {
		return true
	}
	var p http2.Parser
	var d http2.Decoder
	var f http2.Frame
	p.Init(http2.Server)
	d.Init(maxHeaderList)
	until := time.Now().Add(firstRequestWait)
	for at := 0; ; {
		n, need, err := p.Next(s.prefix[at:], &f)
		at += n
		switch {
		case err != nil:
			return false
		case need > 0:
			if more, decided := s.readOn(until); !more {
				return decided
			}
		case f.Type == http2.Headers:
			if err := d.Decode(f.Payload, &s.scratch); err != nil {
				return false
			}
			_, ok := s.routes.Select(&s.scratch)
			return ok
		}
	}
}

// readOn reads more of what comes before the first request. If there is no more, governed is what follows from that.
func (s *Session) readOn(until time.Time) (more, governed bool) {
	if len(s.prefix) >= maxUndecided {
		return false, false
	}
	var space [4 << 10]byte
	n, err := s.client.Conn.Read(space[:], time.Now(), until)
	s.prefix = append(s.prefix, space[:n]...)
	switch {
	case err == nil:
		return true, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, s.client.Conn.ClearDeadlines() == nil
	}
	return false, false
}
