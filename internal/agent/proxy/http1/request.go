package http1

import (
	"bytes"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/method"
	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// Request is a request head.
type Request struct {
	Head
	// Class is the method's class (RFC 9110 section 9.2).
	Class call.Method
	// Expect100: the client waits for 100 (Continue) before it sends the body.
	Expect100 bool
	// Upgrade: the client offers to switch protocols, and the offer is forwarded. h2c is taken from the list: RFC 9110 section
	// 7.8 leaves accepting to the server, and the calls inside could not be distinguished any more. Of an offer of nothing else
	// nothing is forwarded.
	Upgrade bool
	// Connect: the method is CONNECT.
	Connect bool

	method, target span
	isHead         bool
	options, trace bool
}

// ReadRequest reads the next request head into q, from what is buffered and then from the connection. It returns io.EOF if the
// connection ended between messages, an *Error if the head must be refused. After a timeout it can be called again with the
// same q to go on.
func (r *Reader) ReadRequest(q *Request) error {
	r.expect(q)
	err := r.readHead(&q.Head, q)
	if err == nil {
		err = q.finish()
	}
	if err != nil {
		q.guessMethod(r.Message())
	}
	return err
}

// TryRequest is ReadRequest without reading from the connection: done is false if the head is not complete yet.
func (r *Reader) TryRequest(q *Request) (done bool, err error) {
	r.expect(q)
	err = r.parseHead(&q.Head, q)
	done = err == nil
	if done {
		err = q.finish()
	}
	if err == errMore { //nolint:errorlint // a private sentinel, never wrapped
		return false, nil
	}
	if err != nil {
		q.guessMethod(r.Message())
	}
	return done, err
}

// expect begins with a request of which nothing was read yet.
func (r *Reader) expect(q *Request) {
	if r.head != &q.Head {
		q.isHead, q.Connect, q.options, q.trace = false, false, false, false
	}
}

// guessMethod sees to it that the refusal of a request whose method is known is one to that method: that of a HEAD has no
// content (RFC 9110 section 9.3.2), however malformed the rest is.
func (q *Request) guessMethod(message []byte) { q.isHead = bytes.HasPrefix(message, []byte("HEAD ")) }

// Method returns the method as read.
func (q *Request) Method() []byte { return q.slice(q.method) }

// Target returns the request target as read.
func (q *Request) Target() []byte { return q.slice(q.target) }

// Host returns the host, with its port if it was given, that the request is for: the authority of an absolute target or else
// the Host field (RFC 9112 section 3.3). It is empty if there is none.
func (q *Request) Host() []byte {
	if q.authority.to > 0 {
		return q.slice(q.authority)
	}
	return q.slice(q.host)
}

// Info returns what one must know of the request to read its responses. Of a request that was refused it says at least whether
// it was a HEAD.
func (q *Request) Info() RequestInfo {
	return RequestInfo{Head: q.isHead, Connect: q.Connect, Upgrade: q.Upgrade, HTTP10: q.Minor == 0}
}

// startLine parses method SP request-target SP HTTP-version (RFC 9112 section 3), with single spaces and nothing else.
func (q *Request) startLine(line []byte) error {
	if len(line) == 0 {
		return q.emptyLine(ErrRequestLine)
	}
	sp1 := bytes.IndexByte(line, ' ')
	const version = len("HTTP/1.1")
	sp2 := len(line) - version - 1
	if sp1 < 0 || sp2 <= sp1 || line[sp2] != ' ' {
		return requestLineError(line)
	}
	name, target := line[:sp1], line[sp1+1:sp2]
	if !syntax.IsToken(name) {
		return ErrMethod
	}
	var ok bool
	if q.Minor, ok = minorVersion(line[sp2+1:]); !ok {
		return requestLineError(line)
	}
	if len(target) == 0 {
		return ErrTarget
	}
	q.method = span{0, uint32(sp1)}
	q.target = span{uint32(sp1 + 1), uint32(sp2)}
	q.classify(name)
	return q.checkTarget(target)
}

// requestLineError tells a version that is not ours (505) from a line that is none (400).
func requestLineError(line []byte) error {
	last := bytes.LastIndexByte(line, ' ')
	v := line[last+1:]
	if len(v) == len("HTTP/1.1") && bytes.HasPrefix(v, []byte("HTTP/")) && v[6] == '.' && syntax.IsDigit(v[5]) && syntax.IsDigit(v[7]) &&
		bytes.Count(line, []byte(" ")) == 2 && !bytes.Contains(line, []byte("  ")) {
		return ErrVersion
	}
	return ErrRequestLine
}

func minorVersion(v []byte) (minor uint8, ok bool) {
	if len(v) != len("HTTP/1.1") || string(v[:7]) != "HTTP/1." {
		return 0, false
	}
	return v[7] - '0', v[7] == '0' || v[7] == '1'
}

func (q *Request) classify(name []byte) {
	q.Class = method.ClassOf(name)
	q.isHead, q.Connect, q.options, q.trace = false, false, false, false
	switch string(name) {
	case "OPTIONS":
		q.options, q.seen.counts = true, true
	case "TRACE":
		q.trace, q.seen.counts = true, true
	case "HEAD":
		q.isHead = true
	case "CONNECT":
		q.Connect = true
	}
}

// checkTarget accepts the four forms of RFC 9112 section 3.2. Bytes above ASCII are let through, as most servers do.
func (q *Request) checkTarget(target []byte) error {
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return ErrTarget
		}
	}
	switch {
	case q.Connect:
		if !syntax.IsHost(target) || !syntax.NamesPort(target) {
			return ErrTarget
		}
		q.authority = q.target
	case target[0] == '/':
	case len(target) == 1 && target[0] == '*':
		if !q.options {
			return ErrTarget
		}
	default:
		return q.absolute(target)
	}
	return nil
}

// absolute finds the authority of an absolute-form target.
func (q *Request) absolute(target []byte) error {
	i := bytes.Index(target, []byte("://"))
	if i <= 0 || !syntax.IsScheme(target[:i]) {
		return ErrTarget
	}
	from := i + len("://")
	to := from
	for to < len(target) && target[to] != '/' && target[to] != '?' && target[to] != '#' {
		to++
	}
	// User information in an http URI is an error (RFC 9110 section 4.2.4): validHost knows no '@'.
	if from == to || !syntax.IsHost(target[from:to]) {
		return ErrTarget
	}
	q.authority = span{q.target.from + uint32(from), q.target.from + uint32(to)}
	return nil
}

// finish checks the complete head as a whole.
func (q *Request) finish() error {
	s := &q.seen
	q.named.prepare(&q.Head)
	if err := q.body(); err != nil {
		return err
	}
	host := q.slice(q.host)
	switch {
	case !s.host && q.Minor == 1:
		return ErrHostMissing
	case !syntax.IsHost(host):
		return ErrHost
	case q.Connect && (q.Framing != NoBody):
		return ErrConnectBody
	}
	if q.authority.to > 0 && !q.Connect && s.host && !syntax.EqualFoldBytes(host, q.slice(q.authority)) {
		// RFC 9112 section 3.2.2: a proxy MUST ignore the received Host and replace it by the host of the target.
		s.replaceHost, s.rewrite = true, true
	}
	// An expectation that ends here is not met by anybody else.
	q.Expect100 = s.expect100 && q.Minor == 1 && !q.named.hasLower(&q.Head, "expect")
	q.Upgrade = q.Minor == 1 && s.upgradeOption && s.upgrade && s.upgradeOther
	s.keepUpgrade = q.Upgrade
	return nil
}
