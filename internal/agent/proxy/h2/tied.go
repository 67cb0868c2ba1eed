package h2

import "fairlead.dev/fairlead/internal/agent/proxy/http2"

// Where the client chose the address, its connection ends when the connection to the server does that served it last, as it would without a
// proxy: the client looks the name up again (rule 25). Streams that are open go on to their end, or are made anew as the policy says.

// tie notes which connection serves a client that chose the address.
func (s *Session) tie(u *serverConn) {
	if s.tied == u {
		return
	}
	s.untie()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tied == nil {
		u.tied = map[*Session]struct{}{}
	}
	u.tied[s] = struct{}{}
	s.tied = u
}

func (s *Session) untie() {
	if u := s.tied; u != nil {
		s.tied = nil
		u.mu.Lock()
		delete(u.tied, s)
		u.mu.Unlock()
	}
}

// leaves has the clients' connections end that are tied to one that its server ends.
func (u *serverConn) leaves() {
	u.mu.Lock()
	tied := u.tied
	u.tied = nil
	u.mu.Unlock()
	for s := range tied {
		s.serverLeaves(u)
	}
}

func (s *Session) serverLeaves(u *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tied == u && !s.over {
		s.tied = nil
		s.clock(u.now)
		s.goAway(http2.NoError, &u.batch)
	}
}
