package http1

import (
	"bytes"
	"io"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// ConnOption is what a forwarded head says about the connection that it is written to.
type ConnOption uint8

const (
	// SayNothing: the version's default holds.
	NoConnOption ConnOption = iota
	// ConnClose adds the connection option close.
	ConnClose
	// ConnKeepAlive adds the connection option keep-alive, for HTTP/1.0 peers.
	ConnKeepAlive
)

// Forward says how a head is changed on its way.
type Forward struct {
	ConnOption ConnOption
	// Extra holds complete field lines, each with its CRLF, that are added at the end.
	Extra []byte
	// Without are the names in lower case of fields that are not forwarded, because Extra replaces them.
	Without []string
	// Authority, if not empty, takes the place of the host that the request names, in its Host field and in an absolute target.
	Authority string
}

// replaces reports whether a field is not forwarded because Extra replaces it.
func (f *Forward) replaces(name []byte) bool {
	for _, w := range f.Without {
		if syntax.EqualFold(name, w) {
			return true
		}
	}
	return false
}

// edits reports whether fields of the head are left out or replaced.
func (f *Forward) edits(h *Head) bool {
	if f.Authority != "" {
		return true
	}
	for _, w := range f.Without {
		if _, there := h.Value(w); there {
			return true
		}
	}
	return false
}

// WriteRequest forwards the request's head followed by body, the bytes of the body that are at hand, in one write if possible.
// It returns how many bytes the connection accepted, of head and body together.
//
// A request keeps its version: an HTTP/1.0 request stays one (RFC 9110 section 6.2 allows the deliberate downgrade), so that
// the response's framing suits the client.
func (q *Request) WriteRequest(w io.Writer, f Forward, body []byte) (int, error) {
	return q.write(w, &f, body)
}

// WriteResponse forwards the response's head like WriteRequest. An HTTP/1.0 response is forwarded as HTTP/1.1, our own version
// (RFC 9110 section 6.2).
func (p *Response) WriteResponse(w io.Writer, f Forward, body []byte) (int, error) {
	return p.write(w, &f, body)
}

func (h *Head) write(w io.Writer, f *Forward, body []byte) (n int, err error) {
	var out wire
	n, err = w.Write(out.build(h, f, body))
	if err == nil && len(out.rest) > 0 {
		var rest int
		rest, err = w.Write(out.rest)
		n += rest
	}
	out.free()
	return n, err
}

// wire holds a forwarded head on its way. It is freed when the bytes have been written.
type wire struct {
	// rest is the part of the body that did not fit behind the head and is to be written after it.
	rest []byte

	buf *buffer
}

// free gives the memory back, if any was needed.
func (w *wire) free() {
	if w.buf != nil {
		putBuffer(w.buf)
	}
	*w = wire{}
}

// build returns the bytes read if they can be forwarded as they are, and copies otherwise.
func (w *wire) build(h *Head, f *Forward, body []byte) []byte {
	w.free()
	if !h.seen.rewrite && f.ConnOption == NoConnOption && len(f.Extra) == 0 && !f.edits(h) {
		switch {
		case len(body) == 0:
			return h.Raw()
		case follows(h.raw, body):
			return h.raw[: len(h.raw)+len(body) : len(h.raw)+len(body)]
		}
	}
	head := len(h.raw) + len(f.Extra) + maxOwnLines
	if h.seen.replaceHost || f.Authority != "" {
		head += MaxLine
	}
	w.buf = getBuffer(min(max(head, min(head+len(body), bodyBuffer)), headBuffer))
	b := h.appendTo(w.buf.data[:0], f)
	if len(b)+len(body) <= len(w.buf.data) {
		return append(b, body...)
	}
	w.rest = body
	return b
}

// follows reports whether body lies right behind head in the same buffer.
func follows(head, body []byte) bool {
	n := len(head)
	return len(body) > 0 && cap(head)-n >= len(body) && &head[:n+1][n] == &body[0]
}

// maxOwnLines is what appendTo may add on its own account, a replaced host not counted.
const maxOwnLines = len("Connection: keep-alive, Upgrade, TE\r\nHost: \r\n")

// appendTo appends the head as it is forwarded: the lines as read and in their order, without those that end here, then our own
// word on the connection and the extra lines.
func (h *Head) appendTo(dst []byte, f *Forward) []byte {
	dst = h.appendFirstLine(dst, f)
	if h.seen.ownVersion {
		// A response is of our own version: HTTP/1.1.
		copy(dst[len(dst)-h.firstLine:], "HTTP/1.1")
	}
	lines, said := h.fields(), false
	if !h.seen.rewrite && !f.edits(h) {
		dst = append(dst, lines...)
	} else {
		dst, said = h.appendKept(dst, lines, f)
	}
	if !said {
		dst = h.appendConnection(dst, f.ConnOption)
	}
	switch {
	case f.Authority != "":
		dst = append(append(append(dst, "Host: "...), f.Authority...), crlf...)
	case h.seen.replaceHost:
		dst = append(dst, "Host: "...)
		dst = append(dst, h.slice(h.authority)...)
		dst = append(dst, crlf...)
	}
	dst = append(dst, f.Extra...)
	return append(dst, crlf...)
}

// appendFirstLine appends the first line, with another authority in an absolute target if there is to be one (RFC 9112 section 3.2.2).
func (h *Head) appendFirstLine(dst []byte, f *Forward) []byte {
	if f.Authority == "" || h.authority.to == 0 {
		return append(dst, h.raw[:h.firstLine]...)
	}
	dst = append(dst, h.raw[:h.authority.from]...)
	dst = append(dst, f.Authority...)
	return append(dst, h.raw[h.authority.to:h.firstLine]...)
}

const crlf = "\r\n"

// appendKept appends the lines that are forwarded, copying runs of them at once. Our own word on the connection takes the place of
// the sender's, so that the order of fields stays; said tells whether there was such a place.
func (h *Head) appendKept(dst, lines []byte, f *Forward) (out []byte, said bool) {
	run := 0
	var once lineKinds
	for at := 0; at < len(lines); {
		end := at + bytes.IndexByte(lines[at:], '\n') + 1
		name := lines[at : at+bytes.IndexByte(lines[at:end], ':')]
		k := classify(name)
		switch drop := h.drops(k, name) || k == fHost && f.Authority != "" || once.again(k) || f.replaces(name); {
		case drop:
			dst = append(dst, lines[run:at]...)
			run = end
			if k == fConnection && !said {
				dst, said = h.appendConnection(dst, f.ConnOption), true
			}
		case h.changes(k):
			dst = append(dst, lines[run:at]...)
			dst = h.appendChanged(dst, k, lines[at:end], len(name))
			run = end
		}
		at = end
	}
	return append(dst, lines[run:]...), said
}

// lineKinds remembers which of the fields that are forwarded only once have been.
type lineKinds struct{ length, te bool }

// again reports whether the field is one of these and was there before.
func (l *lineKinds) again(k known) bool {
	var before bool
	switch k {
	case fContentLength:
		before, l.length = l.length, true
	case fTE:
		before, l.te = l.te, true
	default:
	}
	return before
}

// drops reports whether a field ends here (RFC 9110 section 7.6.1). Fields that framing and routing rest on do not because
// Connection names them: dropping them would change the message's end or its recipient.
func (h *Head) drops(k known, name []byte) bool {
	switch k {
	case fConnection, fKeepAlive, fProxyConnection, fHTTP2Settings:
		return true
	case fUpgrade:
		return !h.seen.keepUpgrade
	case fTE:
		return !h.seen.teTrailers
	case fContentLength:
		return h.seen.dropFraming
	case fTransferEncoding:
		return h.seen.dropFraming || h.seen.unchunk
	case fHost:
		if !h.seen.response {
			return h.seen.replaceHost
		}
	case fTrailer:
		if h.seen.unchunk {
			return true
		}
	case fExpect, fMaxForwards, other:
	}
	return !h.named.none() && h.named.has(h, name)
}

// changes reports whether a line of this kind may be forwarded with another value than it was read with.
func (h *Head) changes(k known) bool {
	switch k {
	case fUpgrade:
		return h.seen.upgradeLess && !h.seen.response
	case fMaxForwards:
		return h.seen.counts
	case fTE:
		return true
	default:
		return false
	}
}

// appendChanged appends a line, given with its CRLF, as it is forwarded.
func (h *Head) appendChanged(dst []byte, k known, line []byte, name int) []byte {
	value := trim(line[name+1 : len(line)-len(crlf)])
	start := len(dst)
	dst = append(dst, line[:name]...)
	dst = append(dst, ": "...)
	none := len(dst)
	switch k {
	case fUpgrade:
		dst = appendWithoutH2C(dst, value)
	case fMaxForwards:
		dst = syntax.AppendLess(dst, value)
	case fTE:
		if !syntax.EqualFold(value, "trailers") {
			dst = append(dst, "trailers"...)
		}
	default:
	}
	switch {
	case len(dst) > none:
		return append(dst, crlf...)
	case k == fUpgrade:
		return dst[:start]
	}
	return append(dst[:start], line...)
}

// appendWithoutH2C appends the members of an Upgrade field that are forwarded.
func appendWithoutH2C(dst, list []byte) []byte {
	none := len(dst)
	for len(list) > 0 {
		var member []byte
		member, list = cutMember(list)
		if isH2C(member) || !isProtocol(member) {
			continue
		}
		if len(dst) > none {
			dst = append(dst, ", "...)
		}
		dst = append(dst, member...)
	}
	return dst
}

// appendConnection states our own connection options: those that the forwarded Upgrade and TE need (RFC 9110 sections 7.8 and
// 10.1.4), and what f says.
func (h *Head) appendConnection(dst []byte, say ConnOption) []byte {
	start := len(dst)
	dst = append(dst, "Connection: "...)
	none := len(dst)
	switch say {
	case ConnClose:
		dst = append(dst, "close, "...)
	case ConnKeepAlive:
		dst = append(dst, "keep-alive, "...)
	case NoConnOption:
	}
	if h.seen.keepUpgrade {
		dst = append(dst, "Upgrade, "...)
	}
	if h.seen.teTrailers {
		dst = append(dst, "TE, "...)
	}
	if len(dst) == none {
		return dst[:start]
	}
	return append(dst[:len(dst)-len(", ")], crlf...)
}
