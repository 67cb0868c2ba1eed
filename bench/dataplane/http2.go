package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// frames reads frames of HTTP/2 without looking into them.
type frames struct {
	r *bufio.Reader
	h [http2.FrameHeaderLen]byte
}

// frame is what is known of one; value is the payload's first four bytes where it has four.
type frame struct {
	t      http2.Type
	flags  byte
	stream uint32
	value  uint32
}

const endStream, ack = 1, 1

func (f *frames) next() (fr frame, err error) {
	if _, err = io.ReadFull(f.r, f.h[:]); err != nil {
		return fr, err
	}
	fr = frame{t: http2.Type(f.h[3]), flags: f.h[4], stream: binary.BigEndian.Uint32(f.h[5:])}
	n := int(f.h[0])<<16 | int(f.h[1])<<8 | int(f.h[2])
	if n == 4 {
		b, err := f.r.Peek(4)
		if err != nil {
			return fr, err
		}
		fr.value = binary.BigEndian.Uint32(b)
	}
	_, err = f.r.Discard(n)
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

// multiplexed is the client's side of a connection with several streams at a time.
type multiplexed struct {
	frames
	conn   net.Conn
	head   []byte
	stream uint32
	out    []byte
}

func (c *client) dialMultiplexed() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.conn = conn
	settings := http2.InitialSettings()
	settings.EnablePush = false
	c.h2 = &multiplexed{frames: frames{r: bufio.NewReaderSize(conn, 64<<10)}, conn: conn, stream: 1, head: head([][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":path", c.path}, {":authority", "bench.example"}, {"user-agent", "bench/1"}, {"accept", "*/*"},
	}, true)}
	_, err = conn.Write(http2.AppendWindowUpdate(settings.Append([]byte(http2.Preface)), 0, 1<<30))
	return err
}

// callStreams makes calls on all streams at a time, and reports whether all were answered.
func (c *client) callStreams() (bool, error) {
	if c.h2 == nil {
		if err := c.dialMultiplexed(); err != nil {
			return false, err
		}
	}
	k := c.h2
	k.out = k.out[:0]
	for range c.streams {
		at := len(k.out)
		k.out = append(k.out, k.head...)
		binary.BigEndian.PutUint32(k.out[at+5:], k.stream)
		k.stream += 2
	}
	if _, err := k.conn.Write(k.out); err != nil {
		return false, err
	}
	for waiting := c.streams; waiting > 0; {
		f, err := k.next()
		switch {
		case err != nil:
			return false, fmt.Errorf("connection %d after %d calls: %w", c.index, c.calls.Load(), err)
		case f.t == http2.SettingsFrame && f.flags&ack == 0:
			if _, err := k.conn.Write(http2.AppendSettingsAck(k.out[:0])); err != nil {
				return false, err
			}
		case f.t == http2.RSTStream, f.t == http2.GoAway:
			return false, errors.New("reset")
		case f.t == http2.Data && f.flags&endStream != 0:
			waiting--
		}
	}
	return true, nil
}

// answerMultiplexed serves one connection of HTTP/2, whose preface r begins with: every request gets 1 KB.
func answerMultiplexed(c net.Conn, r io.Reader) {
	f := frames{r: bufio.NewReaderSize(r, 64<<10)}
	if _, err := f.r.Discard(len(http2.Preface)); err != nil {
		return
	}
	settings := http2.InitialSettings()
	if _, err := c.Write(settings.Append(nil)); err != nil {
		return
	}
	body := answerKB[len(answerKB)-1024:]
	headers := head([][2]string{{":status", "200"}, {"content-type", "application/octet-stream"}, {"content-length", "1024"}}, false)
	var out []byte
	var waiting []uint32
	for window := http2.DefaultWindow; ; {
		fr, err := f.next()
		switch {
		case err != nil:
			return
		case fr.t == http2.SettingsFrame && fr.flags&ack == 0:
			out = http2.AppendSettingsAck(out)
		case fr.t == http2.WindowUpdate && fr.stream == 0:
			window += int(fr.value)
		case (fr.t == http2.Headers || fr.t == http2.Data) && fr.flags&endStream != 0:
			waiting = append(waiting, fr.stream)
		}
		for len(waiting) > 0 && window >= len(body) {
			at := len(out)
			out = append(out, headers...)
			binary.BigEndian.PutUint32(out[at+5:], waiting[0])
			out = append(http2.AppendDataHeader(out, waiting[0], len(body), true), body...)
			waiting, window = waiting[1:], window-len(body)
		}
		if len(out) > 0 && f.r.Buffered() == 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}
