package http2

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// joined is a list of fields as one string, for fuzzing.
func joined(fields []hpack.HeaderField) string {
	var b strings.Builder
	for _, h := range fields {
		b.WriteString(h.Name + "\n" + h.Value + "\n")
	}
	return b.String()
}

func split(s string) (fields []hpack.HeaderField) {
	p := strings.Split(s, "\n")
	for i := 0; i+1 < len(p) && len(fields) < 100; i += 2 {
		fields = append(fields, hpack.HeaderField{Name: p[i], Value: p[i+1]})
	}
	return fields
}

// judge returns what the other implementation has against a header block.
func judge(t *testing.T, frame []byte) error {
	fr := http2.NewFramer(io.Discard, bytes.NewReader(frame))
	fr.ReadMetaHeaders = hpack.NewDecoder(defaultTable, nil)
	fr.MaxHeaderListSize = MaxList
	_, err := fr.ReadFrame()
	if e, ok := errors.AsType[http2.StreamError](err); ok {
		return e
	}
	if err != nil {
		t.Fatal(err)
	}
	return nil
}
