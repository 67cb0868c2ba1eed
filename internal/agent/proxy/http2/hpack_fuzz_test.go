package http2

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

// FuzzHpack decodes a sequence of header blocks with both implementations, whose tables must stay the same, and sends what was
// decoded through the Encoder to the other one, while the table's size changes.
func FuzzHpack(f *testing.F) {
	e := new(Encoder)
	e.Init(defaultTable)
	var seed []byte
	for _, fields := range [][]hpack.HeaderField{requestHead, responseHead, requestHead, requestHead} {
		var b Block
		for _, h := range fields {
			b.Add(h.Name, h.Value)
		}
		block := e.AppendHeaders(nil, &b, &Outgoing{Stream: 1, MaxFrame: MaxFrame})[FrameHeaderLen:]
		seed = append(append(seed, byte(len(block)>>8), byte(len(block))), block...)
	}
	f.Add(seed)
	f.Add([]byte("\x00\x02\x3f\x00\x00\x03\x20\x3e\x82\x00\x01\x82"))             // updates of the table size
	f.Add([]byte("\x00\x05\x40\x01a\x81\x1f\x00\x06\x40\x01a\x82\x1f\xff"))       // Huffman code, well and badly padded
	f.Add([]byte("\x00\x0a\x0f\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x01\xc0")) // integers, indices
	f.Fuzz(func(t *testing.T, input []byte) {
		var d Decoder
		d.Init(MaxList)
		theirs := hpack.NewDecoder(defaultTable, nil)
		var e Encoder
		e.Init(defaultTable)
		back := hpack.NewDecoder(defaultTable, nil)
		var b Block
		for len(input) >= 2 {
			n := min(int(input[0])<<8|int(input[1]), len(input)-2)
			size := uint32(input[0]) * 40
			block := input[2 : 2+n]
			input = input[2+n:]
			want, wantErr := theirs.DecodeFull(block)
			err := d.Decode(block, &b)
			if err == ErrListTooLarge {
				continue
			}
			if err != nil && wantErr == nil && !oddUpdates(block) {
				t.Fatalf("only we refuse: %v", err)
			}
			if err == nil && wantErr != nil && !oddUpdates(block) {
				t.Fatalf("only they refuse: %v", wantErr)
			}
			if err != nil || wantErr != nil {
				return
			}
			if diff := cmp.Diff(want, plain(&b)); diff != "" {
				t.Fatalf("decoded (-want +got):\n%s", diff)
			}
			e.SetTableSize(min(size, defaultTable), min(size/2, defaultTable))
			out := e.AppendHeaders(nil, &b, &Outgoing{Stream: 1, MaxFrame: MaxList})
			got, err := back.DecodeFull(out[FrameHeaderLen:])
			if err != nil {
				t.Fatalf("encoded: %v", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("encoded (-want +got):\n%s", diff)
			}
		}
	})
}

// oddUpdates says whether block may have updates of the table size of which the implementations differ: we take two at the beginning, as
// RFC 7541 section 4.2 has them, and none behind a field; the other one takes any while its table is empty, and one if it is not.
func oddUpdates(block []byte) bool {
	n := 0
	for _, c := range block {
		if c&0xe0 == 0x20 {
			n++
		}
	}
	return n > 0 && (n > 1 || block[0]&0xe0 != 0x20)
}

// FuzzMessage has a list of fields judged as a request, a response and trailers, by us and by the other implementation, which checks
// less: what it refuses we do, and what only we refuse is among the reasons that it leaves to others.
func FuzzMessage(f *testing.F) {
	for _, fields := range [][]hpack.HeaderField{requestHead, responseHead, {{Name: "x", Value: " a "}}, {{Name: "X"}}, {{Name: ":status", Value: "200"}, {Name: ":path"}},
		{{Name: "a", Value: "b\x00"}}, {{Name: "a"}, {Name: ":status", Value: "204"}}} {
		f.Add(joined(fields))
	}
	f.Fuzz(func(t *testing.T, input string) {
		var b Block
		b.limit = MaxList
		fields := split(input)
		if len(fields) == 0 {
			return
		}
		for _, h := range fields {
			b.Add(h.Name, h.Value)
		}
		frame := new(Encoder)
		frame.Init(0)
		theirErr := judge(t, frame.AppendHeaders(nil, &b, &Outgoing{Stream: 1, MaxFrame: MaxFrame}))
		var request, response, trailers Message
		request.InitRequest(true)
		response.InitResponse(&Block{})
		trailers.begun = true
		_, requestErr := request.Headers(&b, false)
		_, trailersErr := trailers.Headers(&b, true)
		_, responseErr := response.Headers(&b, false)
		for as, err := range map[string]error{"request": requestErr, "response": responseErr, "trailers": trailersErr} {
			if err == nil && theirErr != nil {
				t.Errorf("only they refuse the %s: %v", as, theirErr)
			}
		}
		if theirErr == nil && b.fault != nil && !ownFaults[b.fault] {
			t.Errorf("only we refuse: %v", b.fault)
		}
	})
}

// ownFaults are those of single fields that the other implementation's Framer leaves to its server and client.
var ownFaults = map[*Error]bool{ErrConnectionField: true, ErrTE: true, ErrContentLength: true, ErrHostsDiffer: true}
