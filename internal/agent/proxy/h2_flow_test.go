package proxy

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

func window(n uint32) http2.Setting { return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n} }

// A change of the initial window counts for streams that are open, below zero as well (RFC 9113 section 6.9.2).
//
//overtls:originate,intercept
func TestRule31_AClientsInitialWindowChangesOpenStreams(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, make([]byte, 200_000), nil) })
	c := w.dialH2(http2test.Options{HoldWindows: true})
	check(t, c.GiveWindow(1<<30))
	s := must(c.Get("up.example", "/", nil))(t)
	must(s.Received(65535))(t)
	check(t, c.Settings(window(100_000)))
	must(s.Received(100_000))(t)
	check(t, c.Settings(window(10_000))) // 90,000 below zero
	check(t, s.GiveWindow(90_000))
	check(t, c.Ping())
	if n := must(s.Received(0))(t); n != 100_000 {
		t.Errorf("%d bytes came of 100,000", n)
	}
	check(t, s.GiveWindow(1))
	must(s.Received(100_001))(t)
	check(t, c.Settings(window(110_000)))
	if body := must(s.Body())(t); len(body) != 200_000 {
		t.Errorf("%d bytes", len(body))
	}
}

// The same of a server's.
//
//overtls:originate,intercept
func TestRule31_AServersInitialWindowChangesOpenStreams(t *testing.T) {
	done := make(chan error, 1)
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{HoldWindows: true},
		Conn:    func(c *http2test.Conn) { _ = c.GiveWindow(1 << 30) },
		Stream: func(s *http2test.Stream) {
			done <- func() error {
				if _, err := s.Received(65535); err != nil {
					return err
				}
				if err := s.Conn.Settings(window(100_000)); err != nil {
					return err
				}
				if _, err := s.Received(100_000); err != nil {
					return err
				}
				if err := s.Conn.Settings(window(10_000)); err != nil {
					return err
				}
				if err := s.GiveWindow(90_001); err != nil {
					return err
				}
				if _, err := s.Received(100_001); err != nil {
					return err
				}
				if err := s.Conn.Ping(); err != nil {
					return err
				}
				if n, _ := s.Received(0); n != 100_001 {
					t.Errorf("%d bytes came of 100,001", n)
				}
				return s.Conn.Settings(window(200_000))
			}()
			body, _ := s.Body()
			_ = s.Respond(200, body[len(body)-3:], nil)
		},
	})
	w := buildH2(t, srv.Addr(), toAnyH2(nil))
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", append(make([]byte, 200_000-3), "end"...), nil))(t)
	check(t, <-done)
	if body := must(s.Body())(t); string(body) != "end" {
		t.Errorf("got %q", body)
	}
}

// What a stream took of the connection's window is given back however the stream ends, so that many that are given up leave the connection as
// it was: they take more than that window together. Where memory is short nothing is given back before.
func TestRule31_StreamsThatEndEarlyGiveTheirWindowsBack(t *testing.T) {
	for name, buffers := range map[string]int64{"memory": 0, "little memory": 128 << 10} {
		o := Options{buffers: buffers}
		t.Run(name+", requests, reset by the client", func(t *testing.T) { requestsGivenUp(t, o) })
		t.Run(name+", requests, of streams that are closed", func(t *testing.T) { requestsTooLate(t, o) })
		t.Run(name+", responses, reset by the client", func(t *testing.T) { responsesGivenUp(t, o) })
		t.Run(name+", responses, of streams that are closed", func(t *testing.T) { responsesTooLate(t, o) })
	}
}

// In each of the tests below so many streams of so many bytes are given up: 1.9 MiB of windows of 1 MiB.
const givenUp, givenUpSize = 40, 48 << 10

func requestsGivenUp(t *testing.T, o Options) {
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{HoldWindows: true, Settings: []http2.Setting{window(0)}},
		Stream: func(s *http2test.Stream) {
			if head, _ := s.Head(); head.Get(":path") == "/last" {
				_ = s.Respond(200, nil, nil)
			}
		},
	})
	w := buildWith(t, o, srv.Addr(), toAnyH2(nil))
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/last", nil))(t)) // the setting is known
	for range givenUp {
		s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
		check(t, s.Data(make([]byte, givenUpSize), false))
		check(t, s.Reset(http2.ErrCodeCancel))
	}
	check(t, c.Ping())
	statusOf(t, must(c.Get("up.example", "/last", nil))(t))
}

func requestsTooLate(t *testing.T, o Options) {
	w, _ := scriptedWith(t, o, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	c := w.dialH2(http2test.Options{})
	for range givenUp {
		s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
		check(t, s.Reset(http2.ErrCodeCancel))
		check(t, s.Data(make([]byte, givenUpSize), false))
	}
	check(t, c.Ping())
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
}

func responsesGivenUp(t *testing.T, o Options) {
	w, srv := scriptedWith(t, o, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		_ = s.Respond(200, make([]byte, givenUpSize), nil)
	})
	c := w.dialH2(http2test.Options{Settings: []http2.Setting{window(0)}})
	for range givenUp {
		s := must(c.Get("up.example", "/", nil))(t)
		statusOf(t, s)
		check(t, s.Reset(http2.ErrCodeCancel))
	}
	check(t, c.Settings(window(1<<30)))
	if body := must(must(c.Get("up.example", "/", nil))(t).Body())(t); len(body) != givenUpSize {
		t.Errorf("%d bytes", len(body))
	}
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// responsesTooLate has a server that goes on to send on streams that it does not know yet to be closed.
func responsesTooLate(t *testing.T, o Options) {
	arrived := make(chan struct{})
	w, srv := scriptedWith(t, o, toAnyH2(nil), func(n int, s *http2test.Stream) {
		if n >= givenUp {
			_ = s.Respond(200, nil, nil)
			return
		}
		arrived <- struct{}{}
		_, _ = s.AwaitReset()
		for range givenUpSize >> 14 {
			_ = s.DataAnyway(make([]byte, 1<<14), false)
		}
		_ = s.Conn.Ping()
		arrived <- struct{}{}
	})
	c := w.dialH2(http2test.Options{})
	for range givenUp {
		s := must(c.Get("up.example", "/", nil))(t)
		<-arrived
		check(t, s.Reset(http2.ErrCodeCancel))
		<-arrived
	}
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Padding takes of the windows, and nobody gets it: it is given back at once.
func TestRule31_PaddingIsGivenBack(t *testing.T) {
	const frames = 5000 // 1.2 MiB
	padded := func(s *http2test.Stream, b byte) error {
		for range frames {
			if err := s.Conn.Frames(func(fr *http2.Framer) error { return fr.WriteDataPadded(s.ID, false, []byte{b}, make([]byte, 255)) }); err != nil {
				return err
			}
		}
		return nil
	}
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		body, _ := s.Body()
		_ = s.Headers(false, http2test.F(":status", "200"))
		_ = padded(s, 1)
		_ = s.Data(body, true)
	})
	s := must(w.dialH2(http2test.Options{}).Request(false, http2test.Head("POST", "up.example", "/")))(t)
	check(t, padded(s, 2))
	check(t, s.Data([]byte{2}, true))
	body, err := s.Body()
	if err != nil || bytes.Count(body, []byte{1}) != frames || bytes.Count(body, []byte{2}) != frames+1 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// The table of a peer's decoder may shrink and grow while streams go on (RFC 7541 section 4.2), and frames may be as large as it says.
//
//overtls:originate,intercept
func TestRule31_SettingsOfPeersChangeInMidFlight(t *testing.T) {
	table := func(n uint32) http2.Setting { return http2.Setting{ID: http2.SettingHeaderTableSize, Val: n} }
	w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { http2test.Echo(s) })
	c := w.dialH2(http2test.Options{})
	for i, size := range []uint32{4096, 0, 100, 4096, 0, 65536} {
		check(t, c.Settings(table(size)))
		fields := http2test.F("x-same", "the same each time", "x-other", string(rune('a'+i)))
		for range 3 {
			_, head := statusOf(t, must(c.Get("up.example", "/", fields))(t))
			if head.Get("echo-x-same") != "the same each time" || head.Get("echo-x-other") != string(rune('a'+i)) {
				t.Fatalf("table of %d: got %v", size, head)
			}
		}
		check(t, srv.AwaitConn(0).Settings(table(size)))
	}
	large := http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20}
	check(t, c.Settings(large))
	check(t, srv.AwaitConn(0).Settings(large))
	s := must(c.Post("up.example", "/", make([]byte, 1<<20), nil))(t)
	if body := must(s.Body())(t); len(body) != 1<<20 {
		t.Errorf("%d bytes", len(body))
	}
}
