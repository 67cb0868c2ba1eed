package http2

import (
	"strings"
	"testing"
)

// headOf is a request's head with more fields, given as names and values.
func headOf(method string, more ...string) *Block {
	b := &Block{}
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "a.example"}, {":path", "/x?y"}} {
		b.Add(f[0], f[1])
	}
	for i := 0; i < len(more); i += 2 {
		b.Add(more[i], more[i+1])
	}
	return b
}

// valuesOf are those of the fields with a name, behind each other.
func valuesOf(b *Block, name string) string {
	var all []string
	for i := range b.Len() {
		if f := b.Field(i); string(f.Name) == name {
			all = append(all, string(f.Value))
		}
	}
	return strings.Join(all, " ")
}

// OPTIONS and TRACE count down; other methods do not know the field.
func TestRule29_MaxForwards(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		fields []string
		want   string
		last   bool
	}{
		"one left":           {"OPTIONS", []string{"max-forwards", "1"}, "0", false},
		"ten left":           {"TRACE", []string{"max-forwards", "10"}, "9", false},
		"zeros in front":     {"OPTIONS", []string{"max-forwards", "0100"}, "0099", false},
		"zero":               {"OPTIONS", []string{"max-forwards", "0"}, "0", true},
		"one of two is zero": {"TRACE", []string{"max-forwards", "5", "max-forwards", "0"}, "5 0", true},
		"two":                {"TRACE", []string{"max-forwards", "100", "a", "b", "max-forwards", "2"}, "99 1", false},
		"GET":                {"GET", []string{"max-forwards", "0"}, "0", false},
		"no number":          {"OPTIONS", []string{"max-forwards", "-1"}, "-1", false},
		"nothing":            {"OPTIONS", []string{"max-forwards", ""}, "", false},
		"no field":           {"OPTIONS", []string{"a", "b"}, "", false},
	} {
		b := headOf(tc.method, tc.fields...)
		if last := b.CountForwards(); last != tc.last {
			t.Errorf("%s: the last: %v", name, last)
		}
		var out Block
		var d Decoder
		d.Init(MaxList)
		var e Encoder
		e.Init(defaultTable)
		for range 3 { // with the field in the table, too
			frame := e.AppendHeaders(nil, b, &Outgoing{Stream: 1})
			if err := d.Decode(frame[FrameHeaderLen:], &out); err != nil {
				t.Fatal(err)
			}
			if got := valuesOf(&out, "max-forwards"); got != tc.want || out.Size() != b.Size() {
				t.Errorf("%s: forwarded with %q, %d bytes of %d", name, got, out.Size(), b.Size())
			}
		}
	}
}

func TestRule29_AReflectionHidesSecrets(t *testing.T) {
	b := headOf("TRACE", "host", "a.example", "x", "y", "authorization", "Basic x", "cookie", "c=d", "max-forwards", "0")
	const want = "TRACE /x?y HTTP/2.0\r\nhost: a.example\r\nx: y\r\nmax-forwards: 0\r\n\r\n"
	if got := string(b.AppendReflection(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
