package http1

import (
	"bytes"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// RequestInfo is what one must know of a request to delimit its response (RFC 9112 section 6.3).
type RequestInfo struct {
	Head, Connect, Upgrade bool
	// HTTP10: the response must suit a client of HTTP/1.0.
	HTTP10 bool
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
func (r *Reader) ReadResponse(p *Response, to RequestInfo) error {
	if !r.mending || r.head != &p.Head {
		err := r.readHead(&p.Head, p)
		if err == nil {
			err = p.finish(to)
		}
		if err == nil || !mendable(err) {
			return err
		}
		r.beginMending(p)
	}
	return r.readMended(p, to)
}

// Started reports whether any byte of the message being read has arrived.
func (r *Reader) Started() bool { return r.end > r.start }

// Interim reports whether a final response is still to come.
func (p *Response) Interim() bool { return p.Status < 200 && p.Status != 101 }

// startLine parses HTTP-version SP status-code [SP reason-phrase] (RFC 9112 section 4); the space that must precede an empty
// reason is not insisted on, since it delimits nothing. A minor version above ours is read as ours: RFC 9110 section 2.5 has the
// recipient process a message "as if it was in the highest minor version within that major version to which the recipient is
// conformant". Some servers of HTTP/1.1 call it HTTP/2.0, and most clients do not mind. Empty lines in front, which an upstream may leave behind a body, are passed over like those in front of requests.
func (p *Response) startLine(line []byte) error {
	const code = len("HTTP/1.1 ")
	if len(line) == 0 {
		return p.emptyLine(ErrStatusLine)
	}
	if len(line) < code+3 || line[code-1] != ' ' || len(line) > code+3 && line[code+3] != ' ' {
		return ErrStatusLine
	}
	switch {
	case string(line[:7]) == "HTTP/1." && syntax.IsDigit(line[7]):
		p.Minor = min(line[7]-'0', 1)
	case string(line[:8]) == "HTTP/2.0":
		p.Minor = 1
	default:
		return ErrVersion
	}
	p.seen.response, p.seen.ownVersion = true, string(line[:8]) != "HTTP/1.1"
	p.Status = 0
	for _, c := range line[code : code+3] {
		if !syntax.IsDigit(c) {
			return ErrStatusLine
		}
		p.Status = p.Status*10 + int(c-'0')
	}
	if p.Status < 100 || !p.mended && !syntax.Clean(line[code+3:]) {
		return ErrStatusLine
	}
	return nil
}

// finish applies RFC 9112 section 6.3 in its order.
func (p *Response) finish(to RequestInfo) error {
	if err := p.body(); err != nil {
		return err
	}
	s := &p.seen
	p.named.prepare(&p.Head)
	switch {
	case p.Status == 101:
		// RFC 9110 section 7.8: "a server MUST NOT switch to a protocol that was not indicated by the client". h2c never was.
		if !to.Upgrade || s.h2c {
			return ErrSwitch
		}
		p.tunnel()
		s.keepUpgrade = true
	case to.Connect && p.Status/100 == 2:
		p.tunnel()
	case p.Status < 200, p.Status == 204:
		p.Framing, p.Length, s.dropFraming = NoBody, 0, true
	case to.Head, p.Status == 304:
		p.Framing, p.Length = NoBody, 0
	case p.Framing == NoBody && !s.length:
		p.Framing, p.KeepAlive = UntilClose, false
	}
	// RFC 9112 section 6.1: "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request
	// indicates HTTP/1.1".
	s.unchunk = s.coding && to.HTTP10
	// RFC 9110 section 15.5.22: 426 must say what to upgrade to.
	s.keepUpgrade = s.keepUpgrade || p.Status == 426 && s.upgrade && s.upgradeOption
	s.rewrite = s.rewrite || s.ownVersion || s.unchunk || s.dropFraming && (s.length || s.coding)
	return nil
}

// tunnel ends HTTP on the connection. RFC 9112 section 6.3 and RFC 9110 section 9.3.6: neither Content-Length nor
// Transfer-Encoding has a place in the response that does so, and a client must ignore them.
func (p *Response) tunnel() {
	p.Framing, p.Length, p.KeepAlive, p.seen.dropFraming = Tunnel, 0, false, true
}

// Persistence decides whether the client's connection can serve another request after this response has been forwarded, and
// what the response must say about it. closing is the proxy's own wish to close.
func (p *Response) Persistence(q *Request, closing bool) (keep bool, say ConnOption) {
	switch {
	case p.Interim() || p.Framing == Tunnel:
		return true, NoConnOption
	case closing, !q.KeepAlive, p.Framing == UntilClose:
		return false, ConnClose
	case q.Minor == 0 && p.Framing == Chunked:
		// The coding is removed on the way, so that the body ends with the connection.
		return false, ConnClose
	case q.Minor == 0:
		return true, ConnKeepAlive
	}
	return true, NoConnOption
}

// maxKeepAlive bounds what KeepAliveTimeout returns.
const maxKeepAlive = 24 * time.Hour

// KeepAliveTimeout returns how long the server says it keeps the connection when it is idle: the parameter timeout of Keep-Alive,
// in seconds, the smallest if there are several. The field was never standardised beyond RFC 2068 section 19.7.1; servers send
// "timeout=5, max=100".
func (p *Response) KeepAliveTimeout() (timeout time.Duration, ok bool) {
	if !p.seen.keepAliveField {
		return 0, false
	}
	for rest := p.fields(); len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		if classify(line[:colon]) != fKeepAlive {
			continue
		}
		for list := line[colon+1:]; len(list) > 0; {
			var param []byte
			param, list = cutMember(list)
			if d, is := timeoutParam(param); is && (!ok || d < timeout) {
				timeout, ok = d, true
			}
		}
	}
	return timeout, ok
}

func timeoutParam(param []byte) (time.Duration, bool) {
	equals := bytes.IndexByte(param, '=')
	if equals < 0 || !syntax.EqualFold(trim(param[:equals]), "timeout") {
		return 0, false
	}
	digits := bytes.Trim(trim(param[equals+1:]), `"`)
	if !syntax.IsDigits(digits) {
		return 0, false
	}
	seconds, ok := syntax.ParseLength(digits)
	if !ok || seconds > int64(maxKeepAlive/time.Second) {
		return maxKeepAlive, true
	}
	return time.Duration(seconds) * time.Second, true
}
