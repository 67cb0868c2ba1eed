package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

const (
	// LingerFor is how long a client whose last response was written may send nothing until its connection is closed for good; and
	// how long it may go on sending where the upstream has ended the exchange: without a proxy it would be cut off at once.
	LingerFor = 5 * time.Second
	// lingerTimes is how many times that a client may go on sending in all. Some never come to an end, and would be read from for ever.
	lingerTimes = 6
)

// linger ends the response side and reads what the client is still sending, without a bound on bytes: closing with bytes unread
// would reset the connection, and the reset destroy the response before the client has read it (RFC 9112 section 9.6).
func (s *Session) linger() {
	if s.client.EndSide() != nil {
		return
	}
	limit := s.driver.lingerFor
	end := time.Now().Add(limit)
	if !s.upstreamEnded {
		end = end.Add((lingerTimes - 1) * limit)
	}
	var waste [16 << 10]byte
	for now := time.Now(); now.Before(end); now = time.Now() {
		if _, err := s.client.Conn.Read(waste[:], now, drive.Earlier(end, now.Add(limit))); err != nil {
			return
		}
	}
}
