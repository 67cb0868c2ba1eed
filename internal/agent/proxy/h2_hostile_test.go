package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// What costs us more than the client ends its connection, and its alone (rule 30).
//
//overtls:originate,intercept
func TestRule30_FloodsEndTheConnection(t *testing.T) {
	get := http2test.Head("GET", "up.example", "/")
	for name, tc := range map[string]struct {
		kind  drive.Flood
		flood func(c *http2test.Conn) error
	}{
		"rapid reset":    {drive.FloodReset, func(c *http2test.Conn) error { return c.RapidReset(5000, get) }},
		"made you reset": {drive.FloodReset, func(c *http2test.Conn) error { return c.MadeYouReset(5000, get) }},
		"continuation":   {drive.FloodContinuation, func(c *http2test.Conn) error { return c.ContinuationFlood(1000, []byte{}) }},
		"large block":    {drive.FloodHeaderList, func(c *http2test.Conn) error { return c.ContinuationFlood(20, make([]byte, 16<<10)) }},
		"pings":          {drive.FloodPing, func(c *http2test.Conn) error { return c.PingFlood(5000) }},
		"settings":       {drive.FloodSettings, func(c *http2test.Conn) error { return c.SettingsFlood(1000) }},
		"priorities":     {drive.FloodPriority, func(c *http2test.Conn) error { return c.PriorityFlood(5000) }},
		"updates":        {drive.FloodWindowUpdate, func(c *http2test.Conn) error { return c.WindowUpdateFlood(30_000) }},
		"unknown":        {drive.FloodOther, func(c *http2test.Conn) error { return c.UnknownFlood(5000) }},
		"empty data": {drive.FloodEmptyData, func(c *http2test.Conn) error {
			s, err := c.Request(false, http2test.Head("POST", "up.example", "/"))
			if err != nil {
				return err
			}
			return s.EmptyDataFlood(5000)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			c, other := w.dialH2(http2test.Options{}), w.dialH2(http2test.Options{})
			_ = tc.flood(c) // fails where the connection has ended in the midst of it
			if g, err := c.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("goaway %+v, %v", g, err)
			}
			w.waitFor(t, func() bool { return w.events.malformed.Load() > 0 })
			w.events.flooded(t, drive.ClientSide, tc.kind, 1)
			if status, _ := statusOf(t, must(other.Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("another client got %s", status)
			}
		})
	}
}

//overtls:originate,intercept
func TestRule30_HeadsThatAreTooLargeAreAnsweredOverHTTP2(t *testing.T) {
	for name, bomb := range map[string]func(c *http2test.Conn) (*http2test.Stream, error){
		"fields": func(c *http2test.Conn) (*http2test.Stream, error) {
			return c.HeaderBomb(3000, http2test.Head("GET", "up.example", "/"))
		},
		"cookies": func(c *http2test.Conn) (*http2test.Stream, error) {
			return c.CookieBomb(9000, http2test.Head("GET", "up.example", "/"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			c := w.dialH2(http2test.Options{})
			s := must(bomb(c))(t)
			if status, head := statusOf(t, s); status != "431" || head.Get("fairlead-reason") != "malformed_request" {
				t.Errorf("got %v", head)
			}
			if len(srv.Conns()) > 0 {
				t.Error("it was forwarded")
			}
			w.events.flooded(t, drive.ClientSide, drive.FloodHeaderList, 1)
			if status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("the next request got %s", status)
			}
		})
	}
}

// What breaks the protocol is not forwarded (rules 27 and 31).
//
//overtls:originate,intercept
func TestRule31_MalformedRequestsAreReset(t *testing.T) {
	base := http2test.Head("GET", "up.example", "/")
	for name, more := range map[string]http2test.Fields{
		"connection":        http2test.F("connection", "close"),
		"transfer-encoding": http2test.F("transfer-encoding", "chunked"),
		"te":                http2test.F("te", "gzip"),
		"upper case":        http2test.F("X-Upper", "1"),
		"pseudo behind":     http2test.F("a", "b", ":path", "/"),
		"bad value":         http2test.F("a", "b\r\nc: d"),
		"content-length":    http2test.F("content-length", "5"),
	} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			c := w.dialH2(http2test.Options{})
			s := must(c.Request(true, append(base[:len(base):len(base)], more...)))(t)
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeProtocol {
				t.Errorf("reset %v, %v", code, err)
			}
			if len(srv.Conns()) > 0 {
				t.Error("it was forwarded")
			}
			if status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("the next request got %s", status)
			}
			if n := w.events.malformed.Load(); n != 1 {
				t.Errorf("%d were counted", n)
			}
		})
	}
}

// A response that breaks the protocol is the server's failure.
//
//overtls:originate,intercept
func TestRule27_MalformedResponsesOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(s *http2test.Stream)
		reason string
	}{
		"connection field": {func(s *http2test.Stream) { _ = s.Headers(true, http2test.F(":status", "200", "connection", "close")) }, "protocol"},
		"no status":        {func(s *http2test.Stream) { _ = s.Headers(true, http2test.F("a", "b")) }, "protocol"},
		"101":              {func(s *http2test.Stream) { _ = s.Headers(true, http2test.F(":status", "101")) }, "protocol"},
		"HTTP/1":           {func(s *http2test.Stream) { _ = s.Conn.Raw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "protocol"},
		"a stream that is not there": {func(s *http2test.Stream) {
			_ = s.Conn.Frames(func(fr *http2.Framer) error { return fr.WriteRSTStream(999, http2.ErrCodeCancel) })
		}, "protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }), func(_ int, s *http2test.Stream) { tc.answer(s) })
			s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)
			if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != tc.reason {
				t.Errorf("got %v", head)
			}
		})
	}
}

// Streams above what a client was allowed are refused, and not forwarded.
func TestRule30_StreamsAreBounded(t *testing.T) {
	release := newBarrier()
	defer release.now()
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		<-release.C
		_ = s.Respond(200, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	var last *http2test.Stream
	for range 1025 {
		last = must(c.Get("up.example", "/", nil))(t)
	}
	if code, err := last.AwaitReset(); err != nil || code != http2.ErrCodeRefusedStream {
		t.Errorf("reset %v, %v", code, err)
	}
	release.now()
}

// Memory for what clients do not take is bounded, and given back.
func TestRule31_WhatIsKeptIsGivenBack(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		_ = s.Headers(false, http2test.F(":status", "200"))
		for s.Data(make([]byte, 16<<10), false) == nil {
		}
	})
	c := w.dialH2(http2test.Options{HoldWindows: true})
	check(t, c.GiveWindow(1<<30))
	for range 10 {
		s := must(c.Get("up.example", "/", nil))(t)
		must(s.Received(65535))(t)
	}
	poll(t, func() bool { return w.server.h2.Buffered() > 1<<20 })
	if n := w.server.h2.Buffered(); n > 10*(300<<10) {
		t.Errorf("%d bytes are kept of 10 streams", n)
	}
	c.Abort()
	poll(t, func() bool { return w.server.h2.Buffered() == 0 })
}
