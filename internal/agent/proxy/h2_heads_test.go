package proxy

import (
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// begun begins a header block in some way, which is not brought to its end.
var begun = map[string]func(s *http2test.Stream, block []byte) error{
	"without CONTINUATION": func(s *http2test.Stream, block []byte) error {
		return s.Conn.Frames(func(fr *http2.Framer) error {
			return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: block})
		})
	},
	"with a CONTINUATION": func(s *http2test.Stream, block []byte) error {
		return s.Conn.Frames(func(fr *http2.Framer) error {
			if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: block[:1]}); err != nil {
				return err
			}
			return fr.WriteContinuation(s.ID, false, block[1:])
		})
	},
	"in a frame": func(s *http2test.Stream, block []byte) error {
		return s.Conn.Raw([]byte{0, 0, 100, 1, 4, 0, 0, 0, byte(s.ID), block[0], block[1]})
	},
}

// A head that has begun must come to its end in time, since nothing else can come before.
func TestRule30_AHeadThatDoesNotEnd(t *testing.T) {
	block := []byte{0x82, 0x86, 0x84} // :method GET, :scheme http, :path /
	for name, begin := range begun {
		t.Run(name, func(t *testing.T) {
			w, _ := scriptedWith(t, Options{headTimeout: drive.FirstCheck}, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			idle, c := w.dialH2(http2test.Options{}), w.dialH2(http2test.Options{})
			for _, each := range []*http2test.Conn{idle, c} {
				statusOf(t, must(each.Get("up.example", "/", nil))(t))
			}
			check(t, begin(c.Open(), block))
			if g, err := c.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %+v, %v", g, err)
			}
			must(c.AwaitEnd())(t)
			if n := w.events.malformed.Load(); n != 1 {
				t.Errorf("%d were counted", n)
			}
			w.events.flooded(t, drive.ClientSide, drive.FloodSlowHeader, 1)
			if status, _ := statusOf(t, must(idle.Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("a connection that was idle for as long got %s", status)
			}
		})
	}
}

// A head that takes its time and comes to its end is served, and so are those behind it.
func TestRule30_ASlowHeadThatEndsIsServed(t *testing.T) {
	w, _ := scriptedWith(t, Options{headTimeout: time.Hour}, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	c := w.dialH2(http2test.Options{})
	for range 3 {
		s := c.Open()
		check(t, begun["without CONTINUATION"](s, []byte{0x82, 0x86}))
		check(t, c.Raw([]byte{0, 0, 1}))
		check(t, c.Raw([]byte{9, 4, 0, 0, 0, byte(s.ID), 0x84}))
		// The head has no authority: the answer is a reset of the stream, and the connection goes on.
		if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeProtocol {
			t.Fatalf("reset %v, %v", code, err)
		}
		if status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "200" {
			t.Errorf("status %s", status)
		}
	}
}

// The same on a server's connection, on which all its streams would wait.
func TestRule30_AResponseHeadThatDoesNotEnd(t *testing.T) {
	for name, begin := range begun {
		t.Run(name, func(t *testing.T) {
			srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				_ = begin(s, []byte{0x88, 0x88, 0x88})
			}})
			w := buildWith(t, Options{headTimeout: drive.FirstCheck}, srv.Addr(), toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
			c := w.dialH2(http2test.Options{})
			s := must(c.Get("up.example", "/", nil))(t)
			if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != "protocol" {
				t.Errorf("got %v", head)
			}
			if g, err := srv.AwaitConn(0).AwaitGoAway(); err != nil || g.Code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %+v, %v", g, err)
			}
			w.events.flooded(t, drive.ServerSide, drive.FloodSlowHeader, 1)
		})
	}
}
