package http2test

import (
	"bytes"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Fields are header fields in their order.
type Fields []hpack.HeaderField

// F makes Fields of names and values in turn. A name with an exclamation mark in front is never indexed.
func F(namesAndValues ...string) Fields {
	var f Fields
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		name, sensitive := strings.CutPrefix(namesAndValues[i], "!")
		f = append(f, hpack.HeaderField{Name: name, Value: namesAndValues[i+1], Sensitive: sensitive})
	}
	return f
}

// Get returns the first value of a name, or nothing.
func (f Fields) Get(name string) string {
	for _, h := range f {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// All returns all values of a name.
func (f Fields) All(name string) []string {
	var values []string
	for _, h := range f {
		if h.Name == name {
			values = append(values, h.Value)
		}
	}
	return values
}

// Has says whether there is a field with this name.
func (f Fields) Has(name string) bool { return len(f.All(name)) > 0 }

// encoder is an HPACK context for sending.
type encoder struct {
	wire bytes.Buffer
	enc  *hpack.Encoder
}

func newEncoder() *encoder {
	e := new(encoder)
	e.enc = hpack.NewEncoder(&e.wire)
	return e
}

func (e *encoder) block(f Fields) []byte {
	e.wire.Reset()
	for _, h := range f {
		if err := e.enc.WriteField(h); err != nil {
			panic(err) // a bytes.Buffer takes all
		}
	}
	return e.wire.Bytes()
}
