package proxy

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// What is taken is given back in large parts: a WINDOW_UPDATE for half of a stream's window and for half of the connection's, 10 a MiB.
func TestRule31_WindowsAreGivenBackInLargeParts(t *testing.T) {
	const mib, most = 8, 8*10 + 4 // and the first, which opens the connection's
	up := http2test.Options{DiscardBodies: true}
	srv := http2test.NewServer(t, http2test.Script{Options: up, Stream: func(s *http2test.Stream) {
		_, _ = s.Body()
		_ = s.Respond(200, make([]byte, mib<<20), nil)
	}})
	w := buildH2(t, srv.Addr(), toAnyH2(nil))
	c := w.dialH2(up)
	s := must(c.Post("up.example", "/", make([]byte, mib<<20), nil))(t)
	if n := must(s.Received(mib << 20))(t); n != mib<<20 {
		t.Fatalf("%d bytes", n)
	}
	for side, conn := range map[string]*http2test.Conn{"client": c, "server": srv.AwaitConn(0)} {
		if n := conn.Count(http2.FrameWindowUpdate); n > most || n == 0 {
			t.Errorf("the %s got %d WINDOW_UPDATEs for %d MiB, want no more than %d", side, n, mib, most)
		}
	}
}

// bits are WINDOW_UPDATEs of 10 bytes each, 1,000 in all, which arrive at once.
func bits(t *testing.T, stream uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	for range 100 {
		check(t, fr.WriteWindowUpdate(stream, 10))
	}
	return b.Bytes()
}

// Who gives a window back bit by bit is sent what it takes in one piece, as far as the bits come together.
func TestRule31_BitsOfAWindowAreUsedTogether(t *testing.T) {
	for name, ofStream := range map[string]bool{"stream": true, "connection": false} {
		t.Run("response, "+name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, make([]byte, 100<<10), nil) })
			o := http2test.Options{HoldWindows: true}
			if !ofStream {
				o.Settings = []http2.Setting{window(1 << 20)}
			}
			c := w.dialH2(o)
			s := must(c.Get("up.example", "/", nil))(t)
			must(s.Received(65535))(t)
			id := uint32(0)
			if ofStream {
				check(t, c.GiveWindow(1<<20))
				id = s.ID
			}
			bitByBit(t, c, s, bits(t, id))
		})
		t.Run("request, "+name, func(t *testing.T) {
			o, done := http2test.Options{HoldWindows: true}, make(chan struct{})
			if !ofStream {
				o.Settings = []http2.Setting{window(1 << 20)}
			}
			srv := http2test.NewServer(t, http2test.Script{Options: o, Stream: func(s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":path") == "/first" {
					_ = s.Respond(200, nil, nil)
					return
				}
				defer close(done)
				_, _ = s.Received(65535)
				id := uint32(0)
				if ofStream {
					_ = s.Conn.GiveWindow(1 << 20)
					id = s.ID
				}
				bitByBit(t, s.Conn, s, bits(t, id))
			}})
			w := buildH2(t, srv.Addr(), toAnyH2(nil))
			c := w.dialH2(http2test.Options{})
			statusOf(t, must(c.Get("up.example", "/first", nil))(t)) // the settings are known
			s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
			check(t, s.Data(make([]byte, 100<<10), true))
			<-done
		})
	}
}

// What comes in many small DATA frames at once, with an empty one to end it, goes out in few.
func TestRule31_SmallFramesAreSentTogether(t *testing.T) {
	const frames = 500
	small := func(s *http2test.Stream) error {
		var pieces bytes.Buffer
		fr := http2.NewFramer(&pieces, nil)
		for i := range frames {
			check(t, fr.WriteData(s.ID, false, []byte{byte(i)}))
		}
		check(t, fr.WriteData(s.ID, true, nil))
		return s.Conn.Raw(pieces.Bytes())
	}
	few := func(s *http2test.Stream) {
		body, err := s.Body()
		if err != nil || len(body) != frames || body[frames-1] != byte((frames-1)&0xff) {
			t.Errorf("%d bytes came, %v", len(body), err)
		}
		if n := s.Pieces(); n > 5 { // they may have come in several parts
			t.Errorf("%d frames came as %d", frames+1, n)
		}
	}
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		few(s)
		_ = s.Headers(false, http2test.F(":status", "200"))
		_ = small(s)
	})
	s := must(w.dialH2(http2test.Options{}).Request(false, http2test.Head("POST", "up.example", "/")))(t)
	check(t, small(s))
	few(s)
}

// bitByBit gives a window back, and checks in how many pieces what it is for comes.
func bitByBit(t *testing.T, c *http2test.Conn, s *http2test.Stream, bits []byte) {
	before := s.Pieces()
	if err := c.Raw(bits); err != nil {
		t.Error(err)
	}
	if _, err := s.Received(65535 + 1000); err != nil {
		t.Error(err)
	}
	if n := s.Pieces() - before; n > 2 { // the bits may have come in two parts, or go over the end of one that is kept
		t.Errorf("1,000 bytes came in %d pieces", n)
	}
}
