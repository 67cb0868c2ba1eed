package main

import (
	"bufio"
	"encoding/binary"
	"io"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// frames reads frames of HTTP/2 without looking into more of them than it must.
type frames struct {
	r *bufio.Reader
	h [http2.FrameHeaderLen]byte
	// settings are the peer's.
	settings http2.Settings
}

func newFrames(r io.Reader) frames {
	return frames{r: bufio.NewReaderSize(r, 256<<10), settings: http2.InitialSettings()}
}

// frame is what is known of one; value is the payload's first four bytes where it has four.
type frame struct {
	t      http2.Type
	flags  byte
	stream uint32
	value  uint32
	length int
}

const endStream, ack = 1, 1

// ends reports whether a frame is the last one of its stream.
func (f frame) ends() bool {
	return (f.t == http2.Data || f.t == http2.Headers) && f.flags&endStream != 0
}

// next reads a frame, and notes the peer's settings.
func (f *frames) next() (fr frame, err error) {
	if _, err = io.ReadFull(f.r, f.h[:]); err != nil {
		return fr, err
	}
	fr = frame{t: http2.Type(f.h[3]), flags: f.h[4], stream: binary.BigEndian.Uint32(f.h[5:])}
	fr.length = int(f.h[0])<<16 | int(f.h[1])<<8 | int(f.h[2])
	if fr.length == 4 || fr.t == http2.SettingsFrame {
		b, err := f.r.Peek(fr.length)
		if err != nil {
			return fr, err
		}
		if fr.length == 4 {
			fr.value = binary.BigEndian.Uint32(b)
		}
		if fr.t == http2.SettingsFrame && fr.flags&ack == 0 {
			if _, err := f.settings.Apply(b, false); err != nil {
				return fr, err
			}
		}
	}
	_, err = f.r.Discard(fr.length)
	return fr, err
}

// head encodes a header block by itself: it relies on no table.
func head(fields [][2]string, end bool) []byte {
	var b http2.Block
	for _, f := range fields {
		b.Add(f[0], f[1])
	}
	var e http2.Encoder
	e.Init(0)
	return e.AppendHeaders(nil, &b, &http2.Outgoing{Stream: 1, EndStream: end, MaxFrame: http2.MaxFrame})
}

// appendFor appends a frame that head made, for another stream.
func appendFor(dst, frame []byte, stream uint32) []byte {
	at := len(dst)
	dst = append(dst, frame...)
	binary.BigEndian.PutUint32(dst[at+5:], stream)
	return dst
}

// message is one of gRPC, of 1 KB.
var message = append([]byte{0, 0, 0, 4, 0}, answerKB[len(answerKB)-1024:]...)
