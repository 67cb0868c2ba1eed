package h2

import "fairlead.dev/fairlead/internal/agent/proxy/http2"

// Where the client chose the address, its connection ends when the connection to the server does that served it last, as it would without a
// proxy: the client looks the name up again (rule 25). Streams that are open go on to their end, or are made anew as the policy says.

// tie notes that the connection serves a client that chose the address. It is part of the step in which an attempt begins: were the server's
// end noticed between the two, the client would never hear of it. It expects the lock of u, and that of the session.
func (u *server) tie(s *Session) {
	if s.tied == u {
		return
	}
	if u.tied == nil {
		u.tied = map[*Session]struct{}{}
	}
	u.tied[s] = struct{}{}
}

// tiedTo notes that the session's last attempt has begun on a connection that tied it. What served it before does so no more.
func (s *Session) tiedTo(u *server) {
	if s.tied != u {
		s.untie()
		s.tied = u
	}
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
func (u *server) leaves() {
	u.mu.Lock()
	tied := u.tied
	u.tied = nil
	u.mu.Unlock()
	for s := range tied {
		s.serverLeaves(u)
	}
}

func (s *Session) serverLeaves(u *server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tied == u && !s.over {
		s.tied = nil
		s.clock(u.now)
		s.goAway(http2.NoError, &u.batch)
	}
}
