package http2

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// unary is an exchange as it passes through a proxy's codec: parsed and decoded on one side, encoded on the other, both ways. Paths and
// lengths differ from one to the next.
type unary struct {
	request, response [][]byte // as frames
	next              int

	parser   [2]Parser
	decoder  [2]Decoder
	encoder  [2]Encoder
	block    [2]Block
	message  [2]Message
	flood    Flood
	receive  ReceiveWindow
	out      []byte
	outgoing Outgoing
}

func newUnary(t testing.TB) *unary {
	t.Helper()
	x := &unary{}
	var wire [2]bytes.Buffer
	encoders := [2]*hpack.Encoder{hpack.NewEncoder(&wire[0]), hpack.NewEncoder(&wire[1])}
	frame := func(side int, head []hpack.HeaderField, data int) []byte {
		wire[side].Reset()
		for _, f := range head {
			if err := encoders[side].WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		out := append(appendFrameHeader(nil, wire[side].Len(), Headers, flagEndHeaders, 1), wire[side].Bytes()...)
		return append(AppendDataHeader(out, 1, data, true), make([]byte, data)...)
	}
	for i := range 64 {
		head := append([]hpack.HeaderField{}, requestHead...)
		head[3].Value = "/cart/" + strconv.Itoa(i)
		x.request = append(x.request, frame(0, head, 128))
		head = append(append([]hpack.HeaderField{}, responseHead...), hpack.HeaderField{Name: "x-n", Value: strconv.Itoa(i)})
		x.response = append(x.response, frame(1, head, 1024))
	}
	for side := range 2 {
		x.parser[side].Init(Client)
		x.parser[side].started = true
		x.decoder[side].Init(MaxList)
		x.encoder[side].Init(defaultTable)
	}
	x.flood.Init(Server, time.Time{})
	x.receive.Init(MaxWindow / 2)
	x.outgoing = Outgoing{Stream: 1, MaxFrame: MaxFrame}
	return x
}

func (x *unary) run(t testing.TB) {
	if x.next == len(x.request) {
		// The peers' tables start anew with the first frames.
		x.next = 0
		for side := range 2 {
			x.decoder[side].table.evict(0)
		}
	}
	x.message[0].InitRequest(false)
	x.side(t, 0, x.request[x.next])
	x.message[1].InitResponse(&x.block[0])
	x.side(t, 1, x.response[x.next])
	x.flood.Completed()
	x.next++
}

func (x *unary) side(t testing.TB, side int, in []byte) {
	x.out = x.out[:0]
	m := &x.message[side]
	for len(in) > 0 {
		var f Frame
		n, need, err := x.parser[side].Next(in, &f)
		if need > 0 || err != nil {
			t.Fatal(need, err)
		}
		in = in[n:]
		if err := x.flood.Frame(&f, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if f.Type == Headers {
			err = x.decoder[side].Decode(f.Payload, &x.block[side])
			if err == nil {
				_, err = m.Headers(&x.block[side], f.EndStream)
			}
			x.out = x.encoder[side].AppendHeaders(x.out, &x.block[side], &x.outgoing)
		} else {
			err = m.Data(len(f.Payload), f.EndStream)
			x.receive.Receive(f.Flow)
			x.out = AppendDataHeader(x.out, 1, len(f.Payload), f.EndStream)
			if x.receive.Consume(f.Flow) > 0 {
				x.receive.Init(MaxWindow / 2)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !m.Ended() {
		t.Fatal("the message is not complete")
	}
}

func BenchmarkUnary(b *testing.B) {
	x := newUnary(b)
	b.ReportAllocs()
	for b.Loop() {
		x.run(b)
	}
}

func BenchmarkDecodeIndexed(b *testing.B) {
	var wire bytes.Buffer
	enc := hpack.NewEncoder(&wire)
	var d Decoder
	d.Init(MaxList)
	var block Block
	for range 2 {
		wire.Reset()
		for _, f := range requestHead {
			if err := enc.WriteField(f); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Decode(wire.Bytes(), &block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(wire.Bytes(), &block); err != nil {
			b.Fatal(err)
		}
	}
}
