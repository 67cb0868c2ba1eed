package http1test

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Field is a header or trailer field.
type Field struct{ Name, Value string }

// Message is a request or a response as a recipient understands it.
type Message struct {
	Method, Target string // of a request
	Status         int    // of a response
	Reason         string
	Minor          int
	Fields         []Field
	Body           string // without the chunked coding
	Chunked        bool
	Trailers       []Field
	// UntilClose: the response ends with its connection. Tunnel: no more HTTP follows.
	UntilClose, Tunnel bool
}

// Request is what one must know of a request to read the response to it.
type Request struct {
	Method string
	Minor  int
	// Upgrade: a switch of protocols was offered.
	Upgrade bool
}

// Asked returns what one must know of m to read the response to it.
func (m *Message) Asked() Request {
	return Request{Method: m.Method, Minor: m.Minor, Upgrade: m.has("upgrade") && listed(m.Values("connection"), "upgrade") && m.Minor == 1}
}

var (
	// ErrIncomplete says that the message is good as far as it goes.
	ErrIncomplete = errors.New("incomplete")
	// ErrRefused says that a recipient must or may refuse the message.
	ErrRefused = errors.New("refused")
)

const tchar = "[!#$%&'*+.^_`|~0-9A-Za-z-]"

var (
	requestLine = regexp.MustCompile(`^(` + tchar + `+) ([^\x00-\x20\x7f]+) HTTP/1\.([01])$`)
	statusLine  = regexp.MustCompile(`(?s)^HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (.*))?$`)
	fieldLine   = regexp.MustCompile(`(?s)^(` + tchar + `+):[ \t]*(.*?)[ \t]*$`)
	token       = regexp.MustCompile(`^` + tchar + `+$`)
	looseField  = regexp.MustCompile(`(?s)^((?:[^\x00-\x20\x7f:](?:[^\x00-\x1f\x7f:]*[^\x00-\x20\x7f:])?)?):[ \t]*(.*?)[ \t]*$`)
	sizeLine    = regexp.MustCompile(`(?s)^([0-9A-Fa-f]+)(;.*)?$`)
	control     = regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`)
	dangerous   = regexp.MustCompile(`[\x00\r\n]`)
	authority   = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+;=%-]*|\[[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z:-]+\])(:[0-9]{0,5})?$`)
	connectTo   = regexp.MustCompile(`^([^:]+|\[.+\]):0*[1-9][0-9]*$`)
	absolute    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]+)(.*)$`)
)

// ReadRequest reads the request at the start of b and returns what follows it. It returns ErrIncomplete if b ends within the
// request, and ErrRefused if no two recipients need agree on what it means.
func ReadRequest(b string) (m Message, rest string, err error) {
	for strings.HasPrefix(b, "\r\n") {
		b = b[2:] // RFC 9112 section 2.2
	}
	line, b, err := cutLine(b)
	if err != nil {
		return m, b, err
	}
	parts := requestLine.FindStringSubmatch(line)
	if parts == nil {
		return m, b, ErrRefused
	}
	m.Method, m.Target = parts[1], parts[2]
	m.Minor, _ = strconv.Atoi(parts[3])
	if m.Fields, b, err = readFields(b, fieldLine, control); err != nil {
		return m, b, err
	}
	if !m.goodTarget() || !m.goodHost() || !m.goodConnection() {
		return m, b, ErrRefused
	}
	length, err := m.framing()
	switch {
	case err != nil:
		return m, b, err
	case m.Chunked && m.Minor == 0, m.Method == "CONNECT" && (m.Chunked || length > 0):
		return m, b, ErrRefused
	}
	rest, err = m.readBody(b, max(length, 0))
	return m, rest, err
}

// goodTarget knows the four forms of RFC 9112 section 3.2.
func (m *Message) goodTarget() bool {
	switch {
	case m.Method == "CONNECT":
		port, _ := strconv.Atoi(m.Target[strings.LastIndexByte(m.Target, ':')+1:])
		return authority.MatchString(m.Target) && connectTo.MatchString(m.Target) && port <= math.MaxUint16
	case m.Target[0] == '/', m.Target == "*" && m.Method == "OPTIONS":
		return true
	}
	parts := absolute.FindStringSubmatch(m.Target)
	return parts != nil && authority.MatchString(parts[1])
}

func (m *Message) goodHost() bool {
	hosts := m.Values("host")
	return (len(hosts) == 1 || len(hosts) == 0 && m.Minor == 0) && (len(hosts) == 0 || authority.MatchString(hosts[0]))
}

// goodConnection wants a list of tokens (RFC 9110 section 7.6.1).
func (m *Message) goodConnection() bool {
	for _, s := range members(m.Values("connection")) {
		if !token.MatchString(s) {
			return false
		}
	}
	return true
}

// ReadResponse reads the response at the start of b to a request of which enough is known, interim responses like others. ended
// says that the connection ends behind b.
func ReadResponse(b string, to Request, ended bool) (m Message, rest string, err error) {
	line, b, err := cutLine(b)
	if err != nil {
		return m, b, err
	}
	parts := statusLine.FindStringSubmatch(line)
	if parts == nil || dangerous.MatchString(line) {
		return m, b, ErrRefused
	}
	m.Minor, _ = strconv.Atoi(parts[1])
	m.Status, _ = strconv.Atoi(parts[2])
	m.Reason = parts[3]
	if m.Fields, b, err = readFields(b, looseField, dangerous); err != nil {
		return m, b, err
	}
	length, err := m.framing()
	switch {
	case err != nil:
		return m, b, err
	case m.Chunked && (m.Minor == 0 || to.Minor == 0), m.Status == 101 && !to.Upgrade:
		return m, b, ErrRefused
	case m.Status == 101, to.Method == "CONNECT" && m.Status/100 == 2:
		m.Tunnel = true
		length, m.Chunked = 0, false
	case to.Method == "HEAD", m.Status < 200, m.Status == 204, m.Status == 304:
		length, m.Chunked = 0, false
	case !m.Chunked && length < 0:
		m.UntilClose, m.Body = true, b
		if !ended {
			return m, "", ErrIncomplete
		}
		return m, "", nil
	}
	rest, err = m.readBody(b, max(length, 0))
	return m, rest, err
}

// Final reports whether m is the final response.
func (m *Message) Final() bool { return m.Status >= 200 || m.Status == 101 }

// cutLine cuts off a line ended by CRLF. A line feed anywhere else is refused.
func cutLine(b string) (line, rest string, err error) {
	line, rest, ok := strings.Cut(b, "\n")
	if !ok {
		return "", b, ErrIncomplete
	}
	line, ok = strings.CutSuffix(line, "\r")
	if !ok {
		return "", b, ErrRefused
	}
	return line, rest, nil
}

// readFields reads field lines up to an empty line (RFC 9112 section 5). Those of responses may have names that a client would take.
func readFields(b string, field, forbidden *regexp.Regexp) (fields []Field, rest string, err error) {
	for {
		var line string
		line, b, err = cutLine(b)
		if err != nil || line == "" {
			return fields, b, err
		}
		parts := field.FindStringSubmatch(line)
		if parts == nil || forbidden.MatchString(line) {
			return nil, b, ErrRefused
		}
		fields = append(fields, Field{parts[1], parts[2]})
	}
}

// framing applies RFC 9112 section 6 as far as the fields go; length is -1 if there is none.
func (m *Message) framing() (length int64, err error) {
	length = -1
	codings, lengths := m.Values("transfer-encoding"), m.Values("content-length")
	switch {
	case len(codings) > 1, len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"), len(codings) > 0 && len(lengths) > 0:
		return 0, ErrRefused
	}
	m.Chunked = len(codings) == 1
	for _, s := range lengths {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || length >= 0 && int64(n) != length {
			return 0, ErrRefused
		}
		length = int64(n)
	}
	return length, nil
}

func (m *Message) readBody(b string, length int64) (rest string, err error) {
	if m.Chunked {
		return m.readChunks(b)
	}
	if int64(len(b)) < length {
		m.Body = b
		return "", ErrIncomplete
	}
	m.Body = b[:length]
	return b[length:], nil
}

// readChunks decodes the chunked coding (RFC 9112 section 7.1).
func (m *Message) readChunks(b string) (rest string, err error) {
	for {
		var line string
		if line, b, err = cutLine(b); err != nil {
			return b, err
		}
		parts := sizeLine.FindStringSubmatch(line)
		if parts == nil || control.MatchString(line) {
			return b, ErrRefused
		}
		size, err := strconv.ParseUint(parts[1], 16, 63)
		switch {
		case err != nil:
			return b, ErrRefused
		case size == 0:
			return m.readTrailers(b)
		case uint64(len(b)) < size:
			m.Body += b
			return "", ErrIncomplete
		}
		m.Body += b[:size]
		b = b[size:]
		if !strings.HasPrefix("\r\n", b[:min(2, len(b))]) {
			return b, ErrRefused
		}
		if len(b) < 2 {
			return b, ErrIncomplete
		}
		b = b[2:]
	}
}

// notInTrailers are fields for framing, routing and control of the connection (RFC 9110 section 6.5.1).
var notInTrailers = []string{
	"connection", "content-length", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

func (m *Message) readTrailers(b string) (rest string, err error) {
	field, forbidden := fieldLine, control
	if m.Status > 0 {
		field, forbidden = looseField, dangerous
	}
	if m.Trailers, rest, err = readFields(b, field, forbidden); err != nil {
		return rest, err
	}
	for _, f := range m.Trailers {
		if contains(notInTrailers, f.Name) {
			return rest, ErrRefused
		}
	}
	return rest, nil
}

// Values returns the values of the fields of a name in lower case.
func (m *Message) Values(lower string) (values []string) {
	for _, f := range m.Fields {
		if strings.ToLower(f.Name) == lower {
			values = append(values, f.Value)
		}
	}
	return values
}

func (m *Message) has(lower string) bool { return len(m.Values(lower)) > 0 }

// members splits comma-separated lists.
func members(lists []string) (all []string) {
	for _, list := range lists {
		for _, s := range strings.Split(list, ",") {
			if s = strings.Trim(s, " \t"); s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}

func listed(lists []string, lower string) bool { return contains(members(lists), lower) }

func contains(all []string, name string) bool {
	for _, s := range all {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}
