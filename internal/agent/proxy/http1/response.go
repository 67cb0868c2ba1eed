package http1

// Asked is what one must know of a request to delimit its response (RFC 9112 section 6.3).
type Asked struct {
	Head, Connect, Upgrade bool
}

// Response is a response head.
type Response struct {
	Head
	// Status is the three digit status code.
	Status int
}

// ReadResponse reads the next response head into p. Interim responses (1xx) are returned like others: Finish and read again.
// It returns io.EOF if the connection ended before the first byte, an *Error if the response broke the protocol. After a
// timeout it can be called again with the same p to go on.
func (r *Reader) ReadResponse(p *Response, to Asked) error {
	if err := r.readHead(&p.Head, p); err != nil {
		return err
	}
	return p.finish(to)
}

// Started says whether any byte of the message being read has arrived.
func (r *Reader) Started() bool { return r.end > r.start }

// Interim says whether a final response is still to come.
func (p *Response) Interim() bool { return p.Status < 200 && p.Status != 101 }

// startLine parses HTTP-version SP status-code [SP reason-phrase] (RFC 9112 section 4); the space that must precede an empty
// reason is not insisted on, since it delimits nothing.
func (p *Response) startLine(line []byte) error {
	const code = len("HTTP/1.1 ")
	if len(line) < code+3 || line[code-1] != ' ' || len(line) > code+3 && line[code+3] != ' ' {
		return ErrStatusLine
	}
	var ok bool
	if p.Minor, ok = minorVersion(line[:code-1]); !ok {
		return ErrVersion
	}
	p.Status = 0
	for _, c := range line[code : code+3] {
		if !isDigit(c) {
			return ErrStatusLine
		}
		p.Status = p.Status*10 + int(c-'0')
	}
	if p.Status < 100 || !cleanText(line[code+3:]) {
		return ErrStatusLine
	}
	return nil
}

// finish applies RFC 9112 section 6.3 in its order.
func (p *Response) finish(to Asked) error {
	if err := p.body(); err != nil {
		return err
	}
	s := &p.seen
	s.ownVersion = p.Minor == 0
	s.rewrite = s.rewrite || s.ownVersion
	switch {
	case p.Status == 101:
		if !to.Upgrade {
			return ErrSwitch
		}
		p.tunnel()
		s.keepUpgrade = true
	case to.Connect && p.Status/100 == 2:
		p.tunnel()
	case to.Head, p.Status < 200, p.Status == 204, p.Status == 304:
		p.Framing, p.Length = NoBody, 0
	case p.Framing == NoBody && !s.length:
		p.Framing, p.KeepAlive = UntilClose, false
	}
	// RFC 9110 section 15.5.22: 426 must say what to upgrade to.
	s.keepUpgrade = s.keepUpgrade || p.Status == 426 && s.upgrade && s.upgradeOption
	return nil
}

func (p *Response) tunnel() {
	p.Framing, p.Length, p.KeepAlive = Tunnel, 0, false
}

// Persistence decides whether the client's connection can serve another request after this response has been forwarded, and
// what the response must say about it. closing is the proxy's own wish to close.
func (p *Response) Persistence(q *Request, closing bool) (keep bool, say Say) {
	switch {
	case p.Interim() || p.Framing == Tunnel:
		return true, SayNothing
	case closing, !q.KeepAlive, p.Framing == UntilClose:
		return false, SayClose
	case q.Minor == 0 && p.Framing == Chunked:
		// The upstream must not do this (RFC 9112 section 6.1). The client may not see the end before the connection's.
		return false, SayClose
	case q.Minor == 0:
		return true, SayKeepAlive
	}
	return true, SayNothing
}
