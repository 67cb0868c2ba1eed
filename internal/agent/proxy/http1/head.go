package http1

import (
	"bytes"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// Framing is how a message's body is delimited (RFC 9112 section 6.3).
type Framing uint8

const (
	// NoBody: the message ends with its head.
	NoBody Framing = iota
	// ContentLength: the body has Head.Length bytes, at least one.
	ContentLength
	// Chunked: the body is chunked, with trailers.
	Chunked
	// UntilClose: the body ends with the connection (responses only).
	UntilClose
	// Tunnel: after this head the connection is no longer HTTP/1 (101, or 2xx to CONNECT).
	Tunnel
)

// span is a part of Head.raw.
type span struct{ from, to uint32 }

// Head is what requests and responses have in common. Its bytes are valid until the Reader's Finish.
type Head struct {
	// Framing and Length say what follows the head.
	Framing Framing
	Length  int64
	// Minor is the HTTP version's minor number, 0 or 1.
	Minor uint8
	// KeepAlive: the sender is ready to use the connection for another message.
	KeepAlive bool

	raw []byte // the whole head, from start line to empty line; set when complete

	lines      int // complete lines so far, the start line included
	firstLine  int // length of the start line and its CRLF
	emptyLines int // in front of the start line
	seen       seenFields
	host       span
	authority  span        // of a request's absolute target, or of CONNECT
	named      nominations // fields named by Connection
	mended     bool        // the bytes are not those that arrived, see lenient.go
}

// seenFields are collected while the fields are read.
type seenFields struct {
	response                        bool
	host, length, coding            bool
	close, keepAlive, upgradeOption bool
	upgrade, upgradeOther           bool // an Upgrade field; one with a member that is forwarded
	upgradeLess, h2c                bool // one with a member that is not forwarded; that is h2c
	teTrailers                      bool // TE says that trailers are welcome
	keepAliveField                  bool
	expect100                       bool
	counts                          bool // the method is one to which Max-Forwards applies
	noForwards                      bool // Max-Forwards has come to zero
	replaceHost                     bool // the target's authority takes the place of Host
	ownVersion                      bool // the version forwarded is ours, HTTP/1.1
	keepUpgrade                     bool // Upgrade and its connection option are forwarded
	dropFraming                     bool // Content-Length and Transfer-Encoding are not forwarded
	unchunk                         bool // the chunked coding is removed on the way
	rewrite                         bool // the head is not forwarded as the bytes read
}

// Raw returns the head as it was read, from the start line to the empty line.
func (h *Head) Raw() []byte { return h.raw[:len(h.raw):len(h.raw)] }

// Value returns the value of the first field with this name, which is given in lower case, and whether there is one.
func (h *Head) Value(lower string) ([]byte, bool) {
	for rest := h.fields(); len(rest) > 0; {
		line, next := cutLine(rest)
		if len(line) > len(lower) && line[len(lower)] == ':' && syntax.EqualFold(line[:len(lower)], lower) {
			return trim(line[len(lower)+1:]), true
		}
		rest = next
	}
	return nil, false
}

// Header returns the value of the first field with this name, which is given in lower case, that is forwarded and not
// empty, and whether there is one. A field that ends here (RFC 9110 section 7.6.1) says nothing to the recipient.
func (h *Head) Header(lower string) ([]byte, bool) {
	for rest := h.fields(); len(rest) > 0; {
		line, next := cutLine(rest)
		if len(line) > len(lower) && line[len(lower)] == ':' && syntax.EqualFold(line[:len(lower)], lower) {
			if h.drops(classify(line[:len(lower)]), line[:len(lower)]) {
				return nil, false
			}
			if value := trim(line[len(lower)+1:]); len(value) > 0 {
				return value, true
			}
		}
		rest = next
	}
	return nil, false
}

// AnyHeader reports whether there is a field with this name, which is given in lower case, that is forwarded and has a value that fits.
func (h *Head) AnyHeader(lower string, value interface{ Fits(text []byte) bool }) bool {
	for rest := h.fields(); len(rest) > 0; {
		line, next := cutLine(rest)
		if len(line) > len(lower) && line[len(lower)] == ':' && syntax.EqualFold(line[:len(lower)], lower) {
			if h.drops(classify(line[:len(lower)]), line[:len(lower)]) {
				return false
			}
			if value.Fits(trim(line[len(lower)+1:])) {
				return true
			}
		}
		rest = next
	}
	return false
}

// fields returns the complete head's field lines, without the start line and the empty line.
func (h *Head) fields() []byte {
	if h.raw == nil {
		return nil
	}
	return h.raw[h.firstLine : len(h.raw)-2]
}

// cutLine splits validated lines after the first CRLF and returns the line without it.
func cutLine(lines []byte) (line, rest []byte) {
	lf := bytes.IndexByte(lines, '\n')
	return lines[:lf-1], lines[lf+1:]
}

func (h *Head) slice(s span) []byte { return h.raw[s.from:s.to] }

// reset makes h ready for the next message without giving up memory.
func (h *Head) reset() {
	h.Framing, h.Length, h.Minor, h.KeepAlive = NoBody, 0, 0, false
	h.raw, h.lines, h.firstLine, h.emptyLines, h.mended = nil, 0, 0, 0, false
	h.host, h.authority = span{}, span{}
	h.seen = seenFields{}
	h.named.reset()
}
