package http1

import (
	"io"
	"net/http"
	"strconv"
)

// Reply is the agent's own answer (rule 26).
type Reply struct {
	Status int
	// Reason is the local reason: the value of fairlead-reason and the body's line. It is a token.
	Reason string
	// RetryAfter in seconds is sent when positive.
	RetryAfter int
	// ConnOption tells the client what becomes of the connection.
	ConnOption ConnOption
	// ToHead: the request was HEAD, so the body stays away.
	ToHead bool
}

// WriteTo writes the answer in one write.
func (p *Reply) WriteTo(w io.Writer) (int64, error) {
	var out wire
	defer out.free()
	n, err := w.Write(out.reply(p))
	return int64(n), err
}

// reply returns the bytes of the agent's own answer.
func (w *wire) reply(p *Reply) []byte {
	w.free()
	w.buf = getBuffer(smallBuffer)
	return p.appendTo(w.buf.data[:0])
}

func (p *Reply) appendTo(b []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(p.Status)...)
	b = append(b, "\r\nfairlead-reason: "...)
	b = append(b, p.Reason...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len("fairlead: ")+len(p.Reason)+len("\n")), 10)
	if p.RetryAfter > 0 {
		b = append(b, "\r\nRetry-After: "...)
		b = strconv.AppendInt(b, int64(p.RetryAfter), 10)
	}
	b = append(b, p.ConnOption.line()...)
	b = append(b, "\r\n\r\n"...)
	if p.ToHead {
		return b
	}
	b = append(b, "fairlead: "...)
	b = append(b, p.Reason...)
	return append(b, '\n')
}

// line returns the field of an answer of our own, with the CRLF in front of it.
func (s ConnOption) line() string {
	switch s {
	case ConnClose:
		return "\r\nConnection: close"
	case ConnKeepAlive:
		return "\r\nConnection: keep-alive"
	case NoConnOption:
	}
	return ""
}
