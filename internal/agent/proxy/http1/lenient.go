package http1

import (
	"bytes"
	"io"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// Responses are read more kindly than requests (rule 27). A head that the strict parser refuses is read to its end,
// mended as RFC 9112 says, and parsed again; what the strict parser refuses then is a bad response. The path of good responses
// knows nothing of this.
//
// Mended are: lines ended by a line feed alone (section 2.2), bare carriage returns and NUL (section 2.2 and RFC 9110 section 5.5:
// replaced by spaces), other spaces than one in the status line (section 4), whitespace before a colon (section 5.1: "A proxy MUST
// remove any such whitespace from a response message before forwarding the message downstream"), folded lines (section 5.2), a
// Content-Length beside the chunked coding (section 6.3), the same Content-Length several times in one field (RFC 9110 section
// 8.6), and the chunked coding listed more than once or in HTTP/1.0, as curl and others read it. Fields with names that are none are
// passed on, since curl, Python and others take them. Where the framing was in doubt
// the connection is not used again (section 6.1).

// mendable reports whether a refused response may be one that can be mended.
func mendable(err error) bool {
	switch err {
	case ErrBareLF, ErrFold, ErrFieldName, ErrFieldValue, ErrStatusLine, ErrContentLength, ErrLengthsDiffer, ErrLengthAndCoding, //nolint:errorlint // constants of the package
		ErrCoding, ErrCodingVersion:
		return true
	}
	return false
}

// beginMending goes back to the beginning of the head.
func (r *Reader) beginMending(p *Response) {
	empty := p.emptyLines
	p.reset()
	p.emptyLines = empty
	r.mending = true
	r.pos, r.scan = r.start, r.start
}

// readMended reads a head to its end, however its lines end, and parses it when it is mended.
func (r *Reader) readMended(p *Response, to RequestInfo) error {
	for {
		complete, err := r.looseLines(p)
		switch {
		case err != nil:
			return err
		case complete:
			r.mending = false
			return r.parseMended(p, to)
		}
		if err := r.fill(); err != nil {
			if err == io.EOF { //nolint:errorlint // readers return io.EOF itself
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// looseLines looks at the complete lines among what is buffered and says whether the head is complete. What cannot be mended is
// refused at once: it may be another protocol, and never end.
func (r *Reader) looseLines(p *Response) (complete bool, err error) {
	buf := r.buf.data
	for {
		lf := bytes.IndexByte(buf[r.scan:r.end], '\n')
		if lf < 0 {
			r.scan = r.end
			if r.end-r.start > MaxLine+MaxFields {
				return false, ErrHeadTooLarge
			}
			return false, nil
		}
		lf += r.scan
		line := withoutCR(buf[r.pos:lf])
		r.pos, r.scan = lf+1, lf+1
		switch {
		case len(line) == 0 && p.lines > 0:
			return true, nil
		case len(line) == 0:
			r.start = r.pos
			err = p.emptyLine(ErrStatusLine)
		case p.lines == 0:
			p.lines, err = 1, checkLooseStatus(line)
		default:
			p.lines++
			err = checkLooseField(line)
		}
		if err != nil {
			return false, err
		}
	}
}

func withoutCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

func checkLooseStatus(line []byte) error {
	switch {
	case !bytes.HasPrefix(line, []byte("HTTP/")):
		return ErrStatusLine
	case !bytes.HasPrefix(line, []byte("HTTP/1.")) && !bytes.HasPrefix(line, []byte("HTTP/2.0")):
		return ErrVersion
	case len(line) < len("HTTP/1.1 200") || !isSpace(line[len("HTTP/1.1")]):
		return ErrStatusLine
	}
	return nil
}

func checkLooseField(line []byte) error {
	if line[0] == ' ' || line[0] == '\t' {
		return nil
	}
	_, _, err := splitLoose(line)
	return err
}

// splitLoose is splitField for responses: names that are none, but hold no control characters, are passed on with their fields, and
// control characters in values, but for those that are mended, are retained (RFC 9110 section 5.5).
func splitLoose(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	switch {
	case colon < 0:
		return nil, nil, ErrFieldName
	case colon > 0 && (line[0] == ' ' || line[0] == '\t'):
		return nil, nil, ErrFold
	}
	name = bytes.TrimRight(line[:colon], " \t")
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return nil, nil, ErrFieldName
		}
	}
	return name, trim(line[colon+1:]), nil
}

// isSpace is what RFC 9112 section 4 lets a recipient take for a space in a status line, the line feed excepted.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' && c != '\n' }

// parseMended replaces the complete head by the mended one and parses that.
func (r *Reader) parseMended(p *Response, to RequestInfo) error {
	head, rest := r.buf.data[r.start:r.pos], r.buf.data[r.pos:r.end]
	need := len(head) + p.lines + 1 + len(rest) + minRoom
	if need > headBuffer {
		return ErrHeadTooLarge
	}
	mended := getBuffer(need)
	out, doubtful := mend(mended.data[:0], head)
	end := len(out) + copy(mended.data[len(out):], rest)
	putBuffer(r.buf)
	r.buf, r.start, r.pos, r.scan, r.end = mended, 0, 0, 0, end
	p.reset()
	p.mended = true
	err := r.parseHead(&p.Head, p)
	if err == nil {
		err = p.finish(to)
	}
	p.KeepAlive = p.KeepAlive && !doubtful
	return err
}

// mend appends a mended head to dst, which has room for it: the length of the head and one byte more for each line. doubtful says
// that the framing was not plain.
func mend(dst, head []byte) (out []byte, doubtful bool) {
	status := 0
	for len(head) > 0 {
		lf := bytes.IndexByte(head, '\n')
		line := withoutCR(head[:lf])
		head = head[lf+1:]
		at := len(dst)
		switch {
		case at == 0:
			dst = appendStatus(dst, line)
		case len(line) > 0 && (line[0] == ' ' || line[0] == '\t'):
			if at == status {
				continue // RFC 9112 section 2.2: "consume each whitespace-preceded line without further processing of it"
			}
			at -= len(crlf)
			dst = append(append(dst[:at], ' '), trim(line)...)
		default:
			if colon := bytes.IndexByte(line, ':'); colon >= 0 {
				dst = append(dst, bytes.TrimRight(line[:colon], " \t")...)
				line = line[colon:]
			}
			dst = append(dst, line...)
		}
		spaceOut(dst[at:])
		dst = append(dst, crlf...)
		if at == 0 {
			status = len(dst)
		}
	}
	return mendFraming(dst, status)
}

// appendStatus appends a status line with single spaces around the code. What the reason begins with is its own.
func appendStatus(dst, line []byte) []byte {
	word := bytes.IndexFunc(line, isSpaceRune)
	if word < 0 {
		return append(dst, line...)
	}
	dst = append(append(dst, line[:word]...), ' ')
	line = bytes.TrimLeftFunc(line[word:], isSpaceRune)
	if word = bytes.IndexFunc(line, isSpaceRune); word < 0 {
		return append(dst, line...)
	}
	dst = append(append(dst, line[:word]...), ' ')
	return append(dst, line[word+1:]...)
}

func isSpaceRune(c rune) bool { return c < 0x80 && isSpace(byte(c)) }

// spaceOut replaces what RFC 9110 section 5.5 calls dangerous in a field value by spaces. Other control characters may stay.
func spaceOut(b []byte) {
	for i, c := range b {
		if c == '\r' || c == 0 {
			b[i] = ' '
		}
	}
}

// mendFraming determines Transfer-Encoding and Content-Length of a head whose lines are mended; its field lines begin at from.
func mendFraming(head []byte, from int) (out []byte, doubtful bool) {
	coding, chunked, understood, lengths := false, false, true, false
	for rest := head[from:]; len(rest) > len(crlf); {
		var line []byte
		line, rest = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		switch classify(line[:colon]) {
		case fTransferEncoding:
			coding = true
			chunked, understood = readCodings(line[colon+1:], chunked, understood)
		case fContentLength:
			lengths = true
		default:
		}
	}
	if !understood || !coding && !lengths {
		return head, false
	}
	if chunked {
		doubtful = lengths || head[len("HTTP/1.")] == '0'
		if head[len("HTTP/1.")] == '0' {
			head[len("HTTP/1.")] = '1'
		}
	}
	return dropFraming(head, from, coding, chunked), doubtful
}

// readCodings reads a Transfer-Encoding: nothing but chunked is understood, beside the identity of RFC 2616 that changes nothing.
func readCodings(list []byte, chunked, understood bool) (isChunked, isUnderstood bool) {
	for len(list) > 0 {
		var member []byte
		member, list = cutMember(list)
		switch {
		case syntax.EqualFold(member, "chunked"):
			chunked = true
		case len(member) == 0, syntax.EqualFold(member, "identity"):
		default:
			understood = false
		}
	}
	return chunked, understood
}

// dropFraming leaves one line to say how the body is framed, if one does: one Transfer-Encoding if it is chunked, and else the
// Content-Length fields, each with one value if it says the same several times.
func dropFraming(head []byte, from int, coding, chunked bool) []byte {
	out := head[:from]
	rest := head[from:]
	for len(rest) > len(crlf) {
		var line []byte
		line, rest = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		value := trim(line[colon+1:])
		one := value
		switch classify(line[:colon]) {
		case fTransferEncoding:
			if !coding || !chunked {
				continue
			}
			coding = false
			one = value[len(value)-len("chunked"):]
			if len(one) < len(value) {
				copy(one, "chunked")
			}
		case fContentLength:
			if chunked {
				continue
			}
			one = oneLength(value)
		default:
		}
		if len(one) < len(value) {
			gap := bytes.IndexByte(line[colon+1:], value[0])
			out = append(append(out, line[:colon+1+gap]...), one...)
		} else {
			out = append(out, line...)
		}
		out = append(out, crlf...)
	}
	return append(out, crlf...)
}

// oneLength returns the first member of a Content-Length that says the same several times, and anything else as it is.
func oneLength(value []byte) []byte {
	first, rest := cutMember(value)
	for len(rest) > 0 {
		var member []byte
		if member, rest = cutMember(rest); !bytes.Equal(member, first) {
			return value
		}
	}
	return first
}
