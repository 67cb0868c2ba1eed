package http2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// TestViewOfRequest: what routing sees.
func TestViewOfRequest(t *testing.T) {
	b := blockOf(":method: GET", ":scheme: http", ":authority: a.example:80", ":path: /x?y", "x-empty: ", "x-a: 1", "x-a: 2", "cookie: a=1", "cookie: b=2",
		"x-empty: late")
	if string(b.Method()) != "GET" || string(b.Host()) != "a.example:80" || string(b.Target()) != "/x?y" || string(b.Scheme()) != "http" {
		t.Errorf("%s %s %s %s", b.Method(), b.Host(), b.Target(), b.Scheme())
	}
	for name, want := range map[string]string{"x-a": "1", "x-empty": "late", "cookie": "a=1; b=2", "x-b": "-", ":path": "-"} {
		v, ok := b.Header(name)
		if got := map[bool]string{true: string(v), false: "-"}[ok]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if b.Len() != 10 || string(b.Field(7).Value) != "a=1" {
		t.Error("the crumbs are not what they were")
	}
	if c := blockOf(":method: CONNECT", ":authority: a:1"); string(c.Target()) != "a:1" {
		t.Errorf("the target of CONNECT is %q", c.Target())
	}
	if c := blockOf(":method: GET", "host: b"); string(c.Host()) != "b" {
		t.Errorf("the host is %q", c.Host())
	}
	if c := blockOf("cookie: x=y"); func() bool { v, ok := c.Header("cookie"); return !ok || string(v) != "x=y" }() {
		t.Error("a cookie in one piece is not found")
	}
}

// TestBlockGivesMemoryBack after something large, and keeps it otherwise.
func TestBlockGivesMemoryBack(t *testing.T) {
	b := blockOf("x: " + strings.Repeat("y", 100_000))
	b.Reset()
	if b.Memory() > keptBytes {
		t.Errorf("%d bytes are kept", b.Memory())
	}
	b = blockOf("x: y", "cookie: a", "cookie: b")
	b.Header("cookie")
	before := b.Memory()
	b.Reset()
	if b.Memory() != before || b.Len() != 0 || b.Size() != 0 {
		t.Errorf("%d bytes are kept of %d, %d fields", b.Memory(), before, b.Len())
	}
	if _, ok := b.Header("cookie"); ok {
		t.Error("an empty block has a cookie")
	}
}

// TestOutgoingIsEdited: fields are replaced, added and left out.
func TestOutgoingIsEdited(t *testing.T) {
	b := request("grpc-timeout: 5S", "x-a: 1", "x-secret: s", "grpc-timeout: 6S")
	var e Encoder
	e.Init(defaultTable)
	out := e.AppendHeaders(nil, b, &Outgoing{Stream: 1, MaxFrame: MaxFrame, Without: []string{"x-a", "x-none"},
		Set: []Field{{Name: []byte("grpc-timeout"), Value: []byte("3S")}, {Name: []byte("authorization"), Value: []byte("t"), NeverIndexed: true}}})
	got, err := hpack.NewDecoder(defaultTable, nil).DecodeFull(out[FrameHeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	want := "[:method=GET :scheme=http :authority=a.example :path=/ x-secret=s grpc-timeout=3S authorization=t!]"
	var fields []string
	for _, f := range got {
		fields = append(fields, f.Name+"="+f.Value+map[bool]string{true: "!"}[f.Sensitive])
	}
	if fmt.Sprint(fields) != want {
		t.Errorf("sent %v, want %v", fields, want)
	}
}

// Another host takes the place of what the request names, whichever field that is in, where it was: pseudo-header fields come first.
func TestOutgoingNamesAnotherHost(t *testing.T) {
	b := request("host: a.example", "x: a.example")
	var e Encoder
	e.Init(defaultTable)
	out := e.AppendHeaders(nil, b, &Outgoing{Stream: 1, MaxFrame: MaxFrame, Authority: "b.example:81"})
	got, err := hpack.NewDecoder(defaultTable, nil).DecodeFull(out[FrameHeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range got {
		fields = append(fields, f.Name+"="+f.Value)
	}
	if want := "[:method=GET :scheme=http :authority=b.example:81 :path=/ host=b.example:81 x=a.example]"; fmt.Sprint(fields) != want {
		t.Errorf("sent %v, want %v", fields, want)
	}
}

// TestListLimit: decoded bytes count, cookies included, and the table goes on in step.
func TestListLimit(t *testing.T) {
	var wire bytes.Buffer
	enc := hpack.NewEncoder(&wire)
	write := func(name, value string, times int) {
		for range times {
			if err := enc.WriteField(hpack.HeaderField{Name: name, Value: value}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		fill    func()
		refused bool
	}{
		"below":         {func() { write("x", strings.Repeat("y", 5_000), 1) }, false},
		"one value":     {func() { write("x", strings.Repeat("y", 10_000), 1) }, true},
		"cookie crumbs": {func() { write("cookie", "a=b", 250) }, true},
		"bomb":          {func() { write("x-bomb", strings.Repeat("b", 3000), 1000) }, true},
		"empty fields":  {func() { write("accept", "", 300) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			d.Init(10_000)
			enc = hpack.NewEncoder(&wire)
			wire.Reset()
			tc.fill()
			write("x-last", "in the table", 1)
			var b Block
			if err := d.Decode(wire.Bytes(), &b); (err == ErrListTooLarge) != tc.refused {
				t.Fatal(err)
			}
			if b.Memory() > 200_000 {
				t.Errorf("%d bytes are held", b.Memory())
			}
			wire.Reset()
			write("x-last", "in the table", 1)
			if err := d.Decode(wire.Bytes(), &b); err != nil || b.Len() != 1 || string(b.Field(0).Value) != "in the table" {
				t.Errorf("the table is out of step: %v", err)
			}
		})
	}
	var d Decoder
	d.Init(100)
	var b Block
	for size, want := range map[int]error{100 - 33: nil, 100 - 32: ErrListTooLarge} {
		wire.Reset()
		enc = hpack.NewEncoder(&wire)
		write("x", strings.Repeat("y", size), 1)
		if err := d.Decode(wire.Bytes(), &b); err != want {
			t.Errorf("a value of %d bytes: %v, want %v", size, err, want)
		}
	}
}

// TestTableSizeMustBeReduced: RFC 7541 section 4.2, once the peer has acknowledged a smaller one.
func TestTableSizeMustBeReduced(t *testing.T) {
	for name, tc := range map[string]struct {
		block string
		want  error
	}{
		"reduced":            {"\x20\x82", nil},
		"in between":         {"\x20\x3f\x45\x82", nil}, // 0, then 100
		"not mentioned":      {"\x82", ErrTableSize},
		"larger than asked":  {"\x3f\x46\x82", ErrTableSize},
		"three times":        {"\x20\x20\x20\x82", ErrCompression},
		"behind a field":     {"\x20\x82\x20", ErrCompression},
		"the last one holds": {"\x3f\x45\x82", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			d.Init(MaxList)
			d.SetTableSize(100)
			var b Block
			if err := d.Decode([]byte(tc.block), &b); err != tc.want {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// TestErrorsAreNamed: each reason has its sentence, each code its name.
func TestErrorsAreNamed(t *testing.T) {
	sentences := map[string]bool{}
	for r := ReasonPreface; r < reasons; r++ {
		s := r.String()
		if s == "" || sentences[s] {
			t.Errorf("reason %d is %q", r, s)
		}
		sentences[s] = true
	}
	if EnhanceYourCalm.String() != "ENHANCE_YOUR_CALM" || HTTP11Required.String() != "HTTP_1_1_REQUIRED" || Code(99).String() != "99" {
		t.Error("codes have wrong names")
	}
	if Continuation.String() != "CONTINUATION" || Type(99).String() != "99" {
		t.Error("types have wrong names")
	}
	if reasons.String() != "unknown reason" || ErrTE.Error() != ReasonTE.String() {
		t.Error("reasons have wrong sentences")
	}
}
