package http2

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

// plain is a block as the other implementation represents one.
func plain(b *Block) []hpack.HeaderField {
	var fields []hpack.HeaderField
	for i := range b.Len() {
		f := b.Field(i)
		fields = append(fields, hpack.HeaderField{Name: string(f.Name), Value: string(f.Value), Sensitive: f.NeverIndexed})
	}
	return fields
}

func parts(fields ...string) []hpack.HeaderField {
	var out []hpack.HeaderField
	for _, f := range fields {
		name, value, _ := strings.Cut(f[1:], ": ")
		f = f[:1] + name
		out = append(out, hpack.HeaderField{Name: strings.TrimPrefix(f, "!"), Value: value, Sensitive: f[0] == '!'})
	}
	return out
}

var requestHead = parts(":method: POST", ":scheme: http", ":authority: shop.example:8080", ":path: /cart.Cart/Add?x=1",
	"content-type: application/grpc", "te: trailers", "user-agent: grpc-go/1.85.0", "grpc-timeout: 999843u", "cookie: a=1", "cookie: b=2",
	"!authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789", "x-request-id: 0123456789abcdef")

var responseHead = parts(":status: 200", "content-type: application/grpc", "server: shop", "date: Thu, 26 Nov 2026 12:00:00 GMT",
	"set-cookie: session=1", "set-cookie: theme=dark")

// TestHpackBothWays sends what the other implementation encoded through Decoder and Encoder, and has it decoded by the other one.
func TestHpackBothWays(t *testing.T) {
	var wire bytes.Buffer
	theirs := hpack.NewEncoder(&wire)
	back := hpack.NewDecoder(defaultTable, nil)
	var d Decoder
	d.Init(MaxList)
	var e Encoder
	e.Init(defaultTable)
	var b Block
	for round := range 300 {
		want := append([]hpack.HeaderField{}, requestHead...)
		if round%2 == 1 {
			want = append([]hpack.HeaderField{}, responseHead...)
		}
		// Values that come once, and some of which come again, so that tables fill and turn over.
		want = append(want, hpack.HeaderField{Name: "x-id", Value: strings.Repeat("v", round%200)},
			hpack.HeaderField{Name: "x-again", Value: strings.Repeat("w", round/3)})
		switch round {
		case 100:
			theirs.SetMaxDynamicTableSize(200)
			e.SetTableSize(100, 0)
		case 150:
			theirs.SetMaxDynamicTableSize(0)
			theirs.SetMaxDynamicTableSize(4096)
			e.SetTableSize(4096, 4096)
		}
		wire.Reset()
		for _, f := range want {
			if err := theirs.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Decode(wire.Bytes(), &b); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if diff := cmp.Diff(want, plain(&b)); diff != "" {
			t.Fatalf("round %d: decoded (-want +got):\n%s", round, diff)
		}
		frame := e.AppendHeaders(nil, &b, &Outgoing{Stream: 1, MaxFrame: MaxFrame})
		got, err := back.DecodeFull(frame[FrameHeaderLen:])
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("round %d: encoded (-want +got):\n%s", round, diff)
		}
	}
}

// TestEncoderIndexesWhatRecurs: from the third time on a head that recurs is one or two bytes a field, but for what must not be indexed.
func TestEncoderIndexesWhatRecurs(t *testing.T) {
	var wire bytes.Buffer
	enc := hpack.NewEncoder(&wire)
	for _, f := range responseHead {
		if err := enc.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	var d Decoder
	d.Init(MaxList)
	var b Block
	if err := d.Decode(wire.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	var e Encoder
	e.Init(defaultTable)
	var sizes []int
	for range 4 {
		sizes = append(sizes, len(e.AppendHeaders(nil, &b, &Outgoing{Stream: 1, MaxFrame: MaxFrame})))
	}
	if want := FrameHeaderLen + len(responseHead); sizes[2] != want || sizes[3] != want {
		t.Errorf("sizes are %v, want %d from the third on", sizes, want)
	}
	if e.table.len() != len(responseHead)-1 {
		t.Errorf("the table has %d entries, want %d", e.table.len(), len(responseHead)-1)
	}
}

// TestNothingIsAllocated for a unary exchange: both heads decoded, checked and encoded, and the DATA between them.
func TestNothingIsAllocated(t *testing.T) {
	x := newUnary(t)
	for range 10 {
		x.run(t)
	}
	if n := testing.AllocsPerRun(100, func() { x.run(t) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
