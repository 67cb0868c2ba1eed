package proxy

import "time"

// lingerFor is how long a client whose last response was written may send nothing until its connection is closed for good.
const lingerFor = 5 * time.Second

// linger ends the response side and reads what the client is still sending, without a bound on bytes: closing with bytes unread
// would reset the connection, and the reset destroy the response before the client has read it (RFC 9112 section 9.6).
func (s *session) linger() {
	if s.client.TCP().CloseWrite() != nil {
		return
	}
	var waste [16 << 10]byte
	for {
		now := time.Now()
		if _, err := s.client.Read(waste[:], now, now.Add(lingerFor)); err != nil {
			return
		}
	}
}
