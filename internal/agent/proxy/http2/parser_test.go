package http2

import (
	"bytes"
	"strings"
	"testing"
)

func frameOf(t Type, flags byte, stream uint32, payload string) []byte {
	return append(appendFrameHeader(nil, len(payload), t, flags, stream), payload...)
}

// TestFramesRefused: what each rule of RFC 9113 sections 3.4, 4.2 and 6 refuses, and how.
func TestFramesRefused(t *testing.T) {
	open := frameOf(Headers, 0, 1, "\x82")
	for name, tc := range map[string]struct {
		frames []byte
		want   *Error
	}{
		"too long":                     {appendFrameHeader(nil, MaxFrame+1, Headers, 0, 1), ErrFrameSize},
		"DATA on stream 0":             {frameOf(Data, 0, 0, "x"), ErrStreamID},
		"HEADERS on stream 0":          {frameOf(Headers, flagEndHeaders, 0, "\x82"), ErrStreamID},
		"PRIORITY on stream 0":         {frameOf(Priority, 0, 0, "12345"), ErrStreamID},
		"RST_STREAM on stream 0":       {frameOf(RSTStream, 0, 0, "1234"), ErrStreamID},
		"SETTINGS on a stream":         {frameOf(SettingsFrame, 0, 1, ""), ErrStreamID},
		"PING on a stream":             {frameOf(Ping, 0, 1, "12345678"), ErrStreamID},
		"GOAWAY on a stream":           {frameOf(GoAway, 0, 1, "12345678"), ErrStreamID},
		"padding longer than DATA":     {frameOf(Data, flagPadded, 1, "\x03ab"), ErrPadding},
		"no room for a padding":        {frameOf(Data, flagPadded, 1, ""), ErrFrameSize},
		"padding longer than HEADERS":  {frameOf(Headers, flagPadded|flagEndHeaders, 1, "\x02a"), ErrPadding},
		"no room for HEADERS' padding": {frameOf(Headers, flagPadded|flagEndHeaders, 1, ""), ErrFrameSize},
		"no room for a priority":       {frameOf(Headers, flagPriority|flagEndHeaders, 1, "1234"), ErrFrameSize},
		"PRIORITY of another size":     {frameOf(Priority, 0, 1, "1234"), ErrStreamFrameSize},
		"RST_STREAM of another size":   {frameOf(RSTStream, 0, 1, "123"), ErrFrameSize},
		"SETTINGS cut":                 {frameOf(SettingsFrame, 0, 0, "12345"), ErrFrameSize},
		"acknowledgement with values":  {frameOf(SettingsFrame, flagAck, 0, "123456"), ErrFrameSize},
		"PING of another size":         {frameOf(Ping, 0, 0, "1234567"), ErrFrameSize},
		"GOAWAY too short":             {frameOf(GoAway, 0, 0, "1234567"), ErrFrameSize},
		"WINDOW_UPDATE of 3 bytes":     {frameOf(WindowUpdate, 0, 0, "123"), ErrFrameSize},
		"WINDOW_UPDATE of 0":           {AppendWindowUpdate(nil, 0, 0), ErrWindowUpdateZero},
		"WINDOW_UPDATE of 0, stream":   {AppendWindowUpdate(nil, 3, 0), ErrStreamWindowUpdateZero},
		"push":                         {frameOf(PushPromise, flagEndHeaders, 1, "\x00\x00\x00\x02\x82"), ErrPush},
		"CONTINUATION alone":           {frameOf(Continuation, flagEndHeaders, 1, ""), ErrContinuation},
		"block interrupted":            {append(bytes.Clone(open), frameOf(Ping, 0, 0, "12345678")...), ErrContinuation},
		"block interrupted by unknown": {append(bytes.Clone(open), frameOf(0xff, 0, 0, "")...), ErrContinuation},
		"block of two streams":         {append(bytes.Clone(open), frameOf(Continuation, flagEndHeaders, 3, "")...), ErrContinuation},
		"block in too many frames":     {append(bytes.Clone(open), bytes.Repeat(frameOf(Continuation, 0, 1, ""), maxContinuations+1)...), ErrFloodContinuation},
		"block too large": {append(bytes.Clone(open), bytes.Repeat(frameOf(Continuation, 0, 1, strings.Repeat("\x82", MaxFrame)), 16)...),
			ErrBlockTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			p.Init(Client)
			var f Frame
			in := append(frameOf(SettingsFrame, 0, 0, ""), tc.frames...)
			for {
				n, need, err := p.Next(in, &f)
				in = in[n:]
				if need > 0 {
					t.Fatalf("nothing is refused, %d bytes are left", len(in))
				}
				if err == nil {
					continue
				}
				if err != tc.want {
					t.Fatalf("%v, want %v", err, tc.want)
				}
				break
			}
			if tc.want.Scope == OnStream {
				if f.Stream != 1 && f.Stream != 3 {
					t.Errorf("the error is on stream %d", f.Stream)
				}
				if _, need, err := p.Next(in, &f); need != FrameHeaderLen || err != nil {
					t.Errorf("parsing does not go on: need %d, %v", need, err)
				}
			}
		})
	}
}

// TestPreface: refused at the first wrong byte, and SETTINGS must follow.
func TestPreface(t *testing.T) {
	settings := string(frameOf(SettingsFrame, 0, 0, ""))
	for name, tc := range map[string]struct {
		in   string
		need int
		want error
	}{
		"part":                     {Preface[:10], len(Preface), nil},
		"nothing yet":              {"", len(Preface), nil},
		"HTTP/1":                   {"GET / HTTP/1.1\r\n", 0, ErrPreface},
		"wrong at the end":         {Preface[:23] + "x", 0, ErrPreface},
		"settings missing":         {Preface, FrameHeaderLen, nil},
		"something else":           {Preface + string(frameOf(Ping, 0, 0, "12345678")), 0, ErrFirstFrame},
		"acknowledgement at first": {Preface + string(AppendSettingsAck(nil)), 0, ErrFirstFrame},
		"well":                     {Preface + settings, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			p.Init(Server)
			var f Frame
			if _, need, err := p.Next([]byte(tc.in), &f); need != tc.need || err != tc.want {
				t.Errorf("need %d, %v; want %d, %v", need, err, tc.need, tc.want)
			}
		})
	}
}

// TestDataInPieces: a frame is handed out as it arrives, its padding is counted once, and its end comes with the last byte of data.
func TestDataInPieces(t *testing.T) {
	in := append(frameOf(SettingsFrame, 0, 0, ""), frameOf(Data, flagPadded|flagEndStream, 5, "\x04"+"0123456789"+"\x00\x00\x00\x00")...)
	in = append(in, frameOf(Ping, 0, 0, "12345678")...)
	var p Parser
	p.Init(Client)
	var data []byte
	var flow uint32
	var ends, firsts int
	arrived := 0
	for at := 0; ; {
		var f Frame
		n, need, err := p.Next(in[at:arrived], &f)
		at += n
		switch {
		case err != nil:
			t.Fatal(err)
		case need > 0:
			if arrived == len(in) {
				t.Fatal("the PING does not come")
			}
			arrived++ // one byte at a time, whatever is needed
			continue
		}
		if f.Type == Ping {
			break
		}
		if f.Type != Data {
			continue
		}
		if ends > 0 {
			t.Error("data behind the end")
		}
		data, flow = append(data, f.Payload...), flow+f.Flow
		if f.EndStream {
			ends++
		}
		if f.First {
			firsts++
		}
		if len(f.Payload) == 0 {
			t.Error("an empty piece")
		}
	}
	if string(data) != "0123456789" || flow != 15 || ends != 1 || firsts != 1 {
		t.Errorf("data %q, flow %d, %d ends, %d firsts", data, flow, ends, firsts)
	}
}

// TestHeadersAreSplit at the peer's frame size, and put together again.
func TestHeadersAreSplit(t *testing.T) {
	var b Block
	b.AddStatus(200)
	b.Add("x-large", strings.Repeat("a", 100_000))
	for _, most := range []int{MaxFrame, MaxFrame + 1, 50_000, 1 << 20} {
		var e Encoder
		e.Init(defaultTable)
		out := e.AppendHeaders([]byte("before"), &b, &Outgoing{Stream: 9, EndStream: true, MaxFrame: uint32(most)})
		if string(out[:6]) != "before" {
			t.Fatalf("what was there is now %q", out[:6])
		}
		var block []byte
		var types []Type
		for rest := out[6:]; len(rest) > 0; {
			h := header{int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2]), Type(rest[3]), rest[4], be32(rest[5:])}
			if h.length > most || h.stream != 9 {
				t.Fatalf("frame %+v", h)
			}
			types = append(types, h.t)
			rest = rest[FrameHeaderLen:]
			block, rest = append(block, rest[:h.length]...), rest[h.length:]
			if last := len(rest) == 0; h.has(flagEndHeaders) != last || h.has(flagEndStream) != (h.t == Headers) {
				t.Errorf("flags %x of frame %d", h.flags, len(types))
			}
		}
		if want := (len(block) + most - 1) / most; len(types) != want || types[0] != Headers || want > 1 && types[1] != Continuation {
			t.Errorf("at most %d: frames %v, want %d", most, types, want)
		}
		var d Decoder
		d.Init(MaxList)
		var back Block
		if err := d.Decode(block, &back); err != nil || back.Status() != 200 || len(back.Field(1).Value) != 100_000 {
			t.Errorf("at most %d: %v", most, err)
		}
	}
}
