package http1

import (
	"io"
	"iter"
	"net/http"
	"strconv"
)

// Answer is an answer of the policy's own.
type Answer struct {
	Status int
	// Reason is the value of fairlead-reason. It is a token.
	Reason string
	// Fields are the other fields, but for those of the connection.
	Fields iter.Seq2[string, string]
	Body   string
	// Length: it says how long its body is.
	Length bool
	// ConnOption tells the client what becomes of the connection.
	ConnOption ConnOption
	// ToHead: the request was HEAD, so the body stays away.
	ToHead bool
}

// WriteTo writes the answer in one write.
func (p *Answer) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p.append(nil))
	return int64(n), err
}

func (p *Answer) append(b []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(p.Status)...)
	b = append(b, "\r\nfairlead-reason: "...)
	b = append(b, p.Reason...)
	for name, value := range p.Fields {
		b = append(b, "\r\n"...)
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, value...)
	}
	if p.Length {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(p.Body)), 10)
	}
	b = append(b, p.ConnOption.line()...)
	b = append(b, "\r\n\r\n"...)
	if p.ToHead {
		return b
	}
	return append(b, p.Body...)
}
