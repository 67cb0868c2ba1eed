package http2

// Form is what a header block on a stream turned out to be.
type Form uint8

// The forms of header blocks.
const (
	Request  Form = iota + 1
	Interim       // a 1xx response
	Response      // the final response
	Trailers
)

// content says what DATA a message may have.
type content uint8

const (
	anyContent content = iota
	counted            // as much as content-length says
	noContent          // of a response to HEAD, or with 204 or 304
	tunnelled          // of CONNECT
)

// Message checks one direction of one stream: the order of its frames, the sense of its header blocks, and its content against
// content-length. Its errors are OnStream.
type Message struct {
	left     int64 // of the content, if it is counted
	content  content
	response bool
	begun    bool // the head, interim ones not counted, has come
	ended    bool
	head     bool // the request was HEAD
	connect  bool // the request was CONNECT, extended or not
	extended bool // extended CONNECT was offered
}

// InitRequest prepares m for the request on a stream. extended says whether extended CONNECT was offered (RFC 8441).
func (m *Message) InitRequest(extended bool) { *m = Message{extended: extended} }

// InitResponse prepares m for the response to a request.
func (m *Message) InitResponse(to *Block) {
	method := to.value(kMethod)
	*m = Message{response: true, head: string(method) == "HEAD", connect: string(method) == "CONNECT"}
}

// Headers takes in a header block that was decoded into b.
func (m *Message) Headers(b *Block, endStream bool) (Form, error) {
	switch {
	case m.ended:
		return 0, ErrSequence
	case m.begun:
		return Trailers, m.trailers(b, endStream)
	case m.response:
		return m.responseHead(b, endStream)
	}
	if err := b.checkRequest(m.extended); err != nil {
		return Request, err
	}
	m.begun, m.connect = true, string(b.value(kMethod)) == "CONNECT"
	if m.connect {
		m.content = tunnelled
	} else {
		m.count(b)
	}
	return Request, m.end(endStream)
}

func (m *Message) responseHead(b *Block, endStream bool) (Form, error) {
	if err := b.checkResponse(); err != nil {
		return Response, err
	}
	status := b.Status()
	if status < 200 {
		if endStream {
			// RFC 9113 section 8.1: "A HEADERS frame with the END_STREAM flag set that carries an informational status code is
			// malformed."
			return Interim, ErrSequence
		}
		return Interim, nil
	}
	m.begun = true
	switch {
	case m.connect && status < 300:
		m.content = tunnelled
	case m.head, status == 204, status == 304:
		m.content = noContent
	default:
		m.count(b)
	}
	return Response, m.end(endStream)
}

func (m *Message) count(b *Block) {
	if n, ok := b.ContentLength(); ok {
		m.content, m.left = counted, n
	}
}

// trailers end a message. What would deceive somebody who merges them into the head does not pass (RFC 9110 section 6.5.1).
func (m *Message) trailers(b *Block, endStream bool) error {
	if m.content == tunnelled || !endStream {
		return ErrSequence
	}
	if err := b.checkTrailers(); err != nil {
		return err
	}
	switch {
	case m.response && b.blank:
		b.trim()
	case m.response:
	case b.blank:
		return ErrFieldValue
	case b.has(kContentLength), b.has(kHost):
		return ErrTrailers
	}
	b.drop(kContentLength)
	b.drop(kHost)
	return m.end(true)
}

// Data takes in a piece of DATA: n bytes, padding not counted.
func (m *Message) Data(n int, endStream bool) error {
	switch {
	case !m.begun, m.ended:
		return ErrSequence
	case m.content == noContent && n > 0:
		return ErrContent
	case m.content == counted:
		m.left -= int64(n)
		if m.left < 0 {
			return ErrLengthMismatch
		}
	}
	return m.end(endStream)
}

func (m *Message) end(endStream bool) error {
	if !endStream {
		return nil
	}
	m.ended = true
	if m.content == counted && m.left > 0 {
		return ErrLengthMismatch
	}
	return nil
}

// Begun says whether the head has come, that of a final response in a response.
func (m *Message) Begun() bool { return m.begun }

// Ended says whether the message is complete.
func (m *Message) Ended() bool { return m.ended }

// Tunnel says whether the content is a tunnel's: in a request that of CONNECT, in a response that of one that was accepted.
func (m *Message) Tunnel() bool { return m.begun && m.content == tunnelled }
