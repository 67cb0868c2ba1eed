package proxy

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// rawServerH2 answers every request of HTTP/2 with a response of 1 KiB, and allocates nothing.
func rawServerH2(t testing.TB) netip.AddrPort { return rawServerOf(t, nil) }

// rawServerOf is rawServerH2 with trailers, if there are.
func rawServerOf(t testing.TB, trailers []byte) netip.AddrPort {
	return serve(t, func(_ int, p *peer) {
		var preface [len(http2.Preface)]byte
		if _, err := io.ReadFull(p.r, preface[:]); err != nil {
			return
		}
		settings := http2.InitialSettings()
		_, _ = p.Write(settings.Append(nil))
		out, body := make([]byte, 0, 4<<10), make([]byte, 1<<10)
		f := rawFrames{r: p.r}
		for {
			t, flags, stream, err := f.next()
			switch {
			case err != nil:
				return
			case t == http2.SettingsFrame && flags&1 == 0:
				out = http2.AppendSettingsAck(out[:0])
			case (t == http2.Headers || t == http2.Data) && flags&1 != 0:
				out = append(out[:0], 0, 0, 1, byte(http2.Headers), 4)
				out = append(binary.BigEndian.AppendUint32(out, stream), 0x88) // :status 200
				out = append(http2.AppendDataHeader(out, stream, len(body), len(trailers) == 0), body...)
				if len(trailers) > 0 {
					out = append(out, 0, 0, byte(len(trailers)), byte(http2.Headers), 5)
					out = append(binary.BigEndian.AppendUint32(out, stream), trailers...)
				}
				out = http2.AppendWindowUpdate(out, 0, 1<<10)
			default:
				continue
			}
			if _, err := p.Write(out); err != nil {
				return
			}
		}
	})
}

// rawFrames reads frames without allocating.
type rawFrames struct {
	r *bufio.Reader
	h [http2.FrameHeaderLen]byte
}

func (f *rawFrames) next() (t http2.Type, flags byte, stream uint32, err error) {
	if _, err = io.ReadFull(f.r, f.h[:]); err != nil {
		return 0, 0, 0, err
	}
	n := int(f.h[0])<<16 | int(f.h[1])<<8 | int(f.h[2])
	_, err = f.r.Discard(n)
	return http2.Type(f.h[3]), f.h[4], binary.BigEndian.Uint32(f.h[5:]), err
}

// rawClientH2 makes requests of HTTP/2, some at a time, and allocates nothing.
type rawClientH2 struct {
	c      io.ReadWriter
	f      rawFrames
	head   []byte
	body   []byte
	stream uint32
	out    []byte
}

func newRawClientH2(t testing.TB, c io.ReadWriter, body string, more ...string) *rawClientH2 {
	t.Helper()
	k := &rawClientH2{c: c, f: rawFrames{r: bufio.NewReaderSize(c, 64<<10)}, body: []byte(body), stream: 1}
	var b http2.Block
	method := "GET"
	if body != "" {
		method = "POST"
	}
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":path", "/some/path?with=query"}, {":authority", "up.example"}, {"user-agent", "x"}} {
		b.Add(f[0], f[1])
	}
	for i := 0; i < len(more); i += 2 {
		b.Add(more[i], more[i+1])
	}
	var e http2.Encoder
	e.Init(0)
	k.head = e.AppendHeaders(nil, &b, &http2.Outgoing{Stream: 1, EndStream: body == "", MaxFrame: http2.MaxFrame})
	settings := http2.InitialSettings()
	settings.EnablePush = false
	o := settings.Append([]byte(http2.Preface))
	o = http2.AppendWindowUpdate(o, 0, 1<<30)
	if _, err := c.Write(o); err != nil {
		t.Fatal(err)
	}
	return k
}

// exchange makes n requests at a time.
func (k *rawClientH2) exchange(n int) error {
	k.out = k.out[:0]
	for range n {
		at := len(k.out)
		k.out = append(k.out, k.head...)
		binary.BigEndian.PutUint32(k.out[at+5:], k.stream)
		if len(k.body) > 0 {
			k.out = append(http2.AppendDataHeader(k.out, k.stream, len(k.body), true), k.body...)
		}
		k.stream += 2
	}
	if _, err := k.c.Write(k.out); err != nil {
		return err
	}
	for n > 0 {
		t, flags, _, err := k.f.next()
		switch {
		case err != nil:
			return err
		case t == http2.SettingsFrame && flags&1 == 0:
			if _, err := k.c.Write(http2.AppendSettingsAck(k.out[:0])); err != nil {
				return err
			}
		case t == http2.GoAway || t == http2.RSTStream:
			return io.ErrUnexpectedEOF
		case (t == http2.Data || t == http2.Headers) && flags&1 != 0:
			n--
		}
	}
	return nil
}

func TestAStreamHardlyAllocates(t *testing.T) {
	grpcEnd := append(append([]byte{0, 11}, "grpc-status"...), 1, '0')
	for name, tc := range map[string]struct {
		body     string
		fields   []string
		trailers []byte
	}{
		"GET":  {},
		"POST": {body: strings.Repeat("x", 100)},
		"gRPC": {"\x00\x00\x00\x00\x03abc", []string{"content-type", "application/grpc", "te", "trailers", "grpc-timeout", "5S"}, grpcEnd},
	} {
		t.Run(name, func(t *testing.T) {
			oneProcessor(t)
			w := build(t, rawServerOf(t, tc.trailers), toAnyH2(everything))
			w.seen.discards.Store(true)
			k := newRawClientH2(t, w.dial(), tc.body, tc.fields...)
			const streams = 16
			rounds := 200
			if raceEnabled {
				rounds = 20 // which is slow, and whose allocations are not asserted
			}
			for range rounds {
				check(t, k.exchange(streams))
			}
			var err error
			got := testing.AllocsPerRun(rounds, func() {
				if e := k.exchange(streams); e != nil {
					err = e
				}
			})
			check(t, err)
			if per := got / streams; per > 1 && !raceEnabled {
				t.Errorf("%.2f allocations for each stream", per)
			} else {
				t.Logf("%.2f allocations for each stream", per)
			}
		})
	}
}

// BenchmarkStreams measures calls over HTTP/2 with everything on, 1 KiB back, 16 at a time on one connection: the client's and the upstream's side
// are in it.
func BenchmarkStreams(b *testing.B) {
	w := build(b, rawServerH2(b), toAnyH2(everything))
	w.seen.discards.Store(true)
	k := newRawClientH2(b, w.dial(), "")
	const streams = 16
	b.ReportAllocs()
	for n := 0; n < b.N; n += streams {
		if err := k.exchange(streams); err != nil {
			b.Fatal(err)
		}
	}
}
