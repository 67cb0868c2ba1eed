package h2

import "fairlead.dev/fairlead/internal/agent/proxy/http2"

// Where the client chose the address, its connection ends when the connection to the server does that served it last, as it would without a
// proxy: the client looks the name up again (rule 25). Streams that are open go on to their end, or are made anew as the policy says.

// pinTo notes that the connection serves a client that chose the address. It is part of the step in which an attempt begins: were the server's
// end noticed between the two, the client would never hear of it. It expects the lock of u, and that of the session.
func (u *serverConn) pinTo(s *Session) {
	if s.pinnedTo == u {
		return
	}
	if u.pinned == nil {
		u.pinned = map[*Session]struct{}{}
	}
	u.pinned[s] = struct{}{}
}

// tiedTo notes that the session's last attempt has begun on a connection that is pinned on. What served it before does so no more.
func (s *Session) pinnedOn(u *serverConn) {
	if s.pinnedTo != u {
		s.unpin()
		s.pinnedTo = u
	}
}

func (s *Session) unpin() {
	if u := s.pinnedTo; u != nil {
		s.pinnedTo = nil
		u.unpin(s)
	}
}

func (u *serverConn) unpin(s *Session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pinned, s)
}

// leaves has the clients' connections end that are pinned to one that its server ends.
func (u *serverConn) leaves() {
	for s := range u.takePinned() {
		s.contained(func() { s.serverLeaves(u) })
	}
}

func (u *serverConn) takePinned() map[*Session]struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	pinned := u.pinned
	u.pinned = nil
	return pinned
}

func (s *Session) serverLeaves(u *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinnedTo == u && !s.over {
		s.pinnedTo = nil
		s.clock(u.now)
		s.goAway(http2.NoError, &u.batch)
	}
}
