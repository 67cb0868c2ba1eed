package http1

import (
	"bytes"
	"io"
	"strconv"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// NoForwards says that the request must not be forwarded any more: it is an OPTIONS or a TRACE whose Max-Forwards has come to
// zero. RFC 9110 section 7.6.2: the recipient "MUST NOT forward the request; instead, the recipient MUST respond as the final
// recipient". With other methods the field is not looked at, and forwarded as it is.
func (q *Request) NoForwards() bool { return q.seen.noForwards }

// AnswerHere writes the answer of a final recipient to a request for which NoForwards holds, in one write: an empty 200 to
// OPTIONS, to TRACE the request as it arrived (RFC 9110 section 9.3.8), but for the fields that may be secret.
func (q *Request) AnswerHere(w io.Writer, say ConnOption) error {
	var out wire
	defer out.free()
	_, err := w.Write(out.answerHere(q, say))
	return err
}

func (w *wire) answerHere(q *Request, say ConnOption) []byte {
	w.free()
	w.buf = getBuffer(len(q.raw) + smallBuffer/4)
	b := append(w.buf.data[:0], "HTTP/1.1 200 OK\r\n"...)
	var content []byte
	if q.trace {
		b = append(b, "Content-Type: message/http\r\n"...)
		content = q.reflection()
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(content)), 10)
	b = append(b, say.line()...)
	b = append(b, "\r\n\r\n"...)
	return append(b, content...)
}

// reflection returns the request's head without the fields that "are likely to contain sensitive data" (RFC 9110 section 9.3.8).
func (q *Request) reflection() []byte {
	b := append(make([]byte, 0, len(q.raw)), q.raw[:q.firstLine]...)
	for rest := q.fields(); len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		if !syntax.Sensitive(line[:bytes.IndexByte(line, ':')]) {
			b = append(append(b, line...), crlf...)
		}
	}
	return append(b, crlf...)
}
