package http2test

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"golang.org/x/net/http2"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPeersTalk: a request larger than all windows, with trailers, and its echo.
func TestPeersTalk(t *testing.T) {
	srv := NewServer(t, Script{Stream: Echo, Options: Options{Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1000}}}})
	c := Dial(t, srv.Addr(), Options{})
	s, err := c.Request(false, append(Head("POST", "a", "/"), F("x-a", "1", "!x-b", "2")...))
	must(t, err)
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	must(t, s.Data(data, false))
	must(t, s.Headers(true, F("x-sum", "7")))
	head, err := s.Head()
	must(t, err)
	if head.Get(":status") != "200" || head.Get("echo-x-a") != "1" || head.Get("echo-x-b") != "2" {
		t.Errorf("head is %v", head)
	}
	got, err := s.Body()
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, want those %d that were sent", len(got), len(data))
	}
	trailers, err := s.Trailers()
	must(t, err)
	if trailers.Get("x-sum") != "7" {
		t.Errorf("trailers are %v", trailers)
	}
	must(t, c.Ping())
}

// TestScripts: interim responses, resets, GOAWAY and SETTINGS in mid-flight, and the end, as a script sends them.
func TestScripts(t *testing.T) {
	gate := make(chan struct{})
	srv := NewServer(t, Script{Stream: func(s *Stream) {
		must(t, s.Headers(false, F(":status", "103", "link", "x")))
		must(t, s.Conn.Settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}))
		<-gate
		must(t, s.Headers(false, F(":status", "200")))
		must(t, s.Conn.GoAway(s.ID, http2.ErrCodeNo))
		must(t, s.Reset(http2.ErrCodeInternal))
		s.Conn.Abort()
	}})
	c := Dial(t, srv.Addr(), Options{})
	s, err := c.Get("a", "/", nil)
	must(t, err)
	early, err := s.Interims(1)
	must(t, err)
	if early[0].Get("link") != "x" {
		t.Errorf("interim response is %v", early)
	}
	must(t, srv.AwaitConn(0).AwaitSettingsAck(2))
	close(gate)
	code, err := s.AwaitReset()
	must(t, err)
	if code != http2.ErrCodeInternal {
		t.Errorf("reset with %v", code)
	}
	if _, err := s.Body(); err == nil {
		t.Error("a reset stream has a body")
	} else if code, ok := IsReset(err); !ok || code != http2.ErrCodeInternal {
		t.Errorf("the body ends with %v", err)
	}
	g, err := c.AwaitEnd()
	must(t, err)
	if len(g) != 1 || g[0].Last != s.ID {
		t.Errorf("GOAWAYs are %v", g)
	}
}

// TestHeldWindows: data stops where the windows end and goes on when one is given.
func TestHeldWindows(t *testing.T) {
	srv := NewServer(t, Script{Stream: func(s *Stream) { _ = s.Respond(200, make([]byte, 100_000), nil) }})
	c := Dial(t, srv.Addr(), Options{HoldWindows: true})
	s, err := c.Get("a", "/", nil)
	must(t, err)
	_, err = s.Received(65535)
	must(t, err)
	must(t, c.Ping())
	if n, _ := s.Received(0); n != 65535 {
		t.Errorf("%d bytes came, want as many as the window", n)
	}
	must(t, c.GiveWindow(50_000))
	must(t, s.GiveWindow(50_000))
	if body, err := s.Body(); err != nil || len(body) != 100_000 {
		t.Errorf("%d bytes and %v", len(body), err)
	}
}

// TestAbuseIsNoticed by a server that is known to mind.
func TestAbuseIsNoticed(t *testing.T) {
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.Start()
	t.Cleanup(h.Close)
	u, err := url.Parse(h.URL)
	must(t, err)
	for name, abuse := range map[string]func(c *Conn) error{
		"continuation":   func(c *Conn) error { return c.ContinuationFlood(100_000, bytes.Repeat([]byte{0x82}, 1000)) },
		"wrong preface":  func(c *Conn) error { return c.Raw(make([]byte, 9+1<<14)) },
		"data on stream": func(c *Conn) error { return c.Open().DataAnyway([]byte("x"), false) },
	} {
		t.Run(name, func(t *testing.T) {
			c := Dial(t, netip.MustParseAddrPort(u.Host), Options{})
			_ = abuse(c) // the server may close first
			if _, err := c.AwaitEnd(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAbuseIsSent: each abuse puts as many frames on the wire as it says.
func TestAbuseIsSent(t *testing.T) {
	head := Head("GET", "a", "/")
	for name, tc := range map[string]struct {
		abuse func(c *Conn) error
		sent  http2.FrameType
	}{
		"rapid reset":    {func(c *Conn) error { return c.RapidReset(50, head) }, http2.FrameRSTStream},
		"made you reset": {func(c *Conn) error { return c.MadeYouReset(50, head) }, http2.FrameWindowUpdate},
		"continuation":   {func(c *Conn) error { return c.ContinuationFlood(50, []byte{0x82}) }, http2.FrameContinuation},
		"ping":           {func(c *Conn) error { return c.PingFlood(50) }, http2.FramePing},
		"settings":       {func(c *Conn) error { return c.SettingsFlood(49) }, http2.FrameSettings},
		"priority":       {func(c *Conn) error { return c.PriorityFlood(50) }, http2.FramePriority},
		"window update":  {func(c *Conn) error { return c.WindowUpdateFlood(50) }, http2.FrameWindowUpdate},
		"unknown":        {func(c *Conn) error { return c.UnknownFlood(50) }, 0xbe},
		"empty data": {func(c *Conn) error {
			s, err := c.Request(false, head)
			if err != nil {
				return err
			}
			return s.EmptyDataFlood(50)
		}, http2.FrameData},
		"header bomb": {func(c *Conn) error {
			_, err := c.HeaderBomb(51*16384, head)
			return err
		}, http2.FrameContinuation},
		"cookie bomb": {func(c *Conn) error {
			_, err := c.CookieBomb(51*16384, head)
			return err
		}, http2.FrameContinuation},
	} {
		t.Run(name, func(t *testing.T) {
			srv := NewServer(t, Script{Options: Options{NoPingAck: true, NoSettingsAck: true}})
			c := Dial(t, srv.Addr(), Options{})
			must(t, tc.abuse(c))
			must(t, srv.AwaitConn(0).AwaitCount(tc.sent, 50))
		})
	}
}
