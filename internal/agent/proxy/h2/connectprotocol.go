package h2

// Extended CONNECT (RFC 8441) is offered to a client as soon as a server offers it that one of its streams went to. A server need not
// have been connected to before a client has its first SETTINGS, so the offer comes in later ones.

// offered offers extended CONNECT if a server does that a stream has just gone to.
func (s *Session) offered(u *serverConn, b *batch) {
	if s.ours.EnableConnectProtocol || u == nil {
		return
	}
	if u.offersConnect() {
		s.offer(b)
	}
}

func (u *serverConn) offersConnect() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.peer.EnableConnectProtocol
}

// isTunnel reports whether a stream, whose response is forwarded, has become a tunnel: what goes both ways is no request and no response any more.
func (x *stream) isTunnel() bool {
	return string(x.head.Method()) == "CONNECT" && x.answer.head.Status()/100 == 2
}

// offerConnect offers extended CONNECT.
func (s *Session) offerConnect(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offer(b)
}

func (s *Session) offer(b *batch) {
	if s.ours.EnableConnectProtocol || s.over {
		return
	}
	s.ours.EnableConnectProtocol = true
	s.out.put(s.ours.Append(s.out.buffer()))
	b.add(&s.out)
}
