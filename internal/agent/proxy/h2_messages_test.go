package proxy

import (
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// Crumbs of a cookie are forwarded as they came, and are one field for who looks at it (RFC 9113 section 8.2.3).
//
//overtls:originate,intercept
func TestRule28_CookieCrumbsStayApart(t *testing.T) {
	cookies := make(chan []string, 1)
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		head, _ := s.Head()
		cookies <- head.All("cookie")
		_ = s.Respond(200, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", http2test.F("cookie", "a=1", "x", "y", "cookie", "b=2", "!cookie", "c=3")))(t))
	if got := <-cookies; !slices.Equal(got, []string{"a=1", "b=2", "c=3"}) {
		t.Errorf("got %q", got)
	}
}

// Order, duplicates and case of values come as they were sent, in heads and trailers of both directions.
//
//overtls:originate,intercept
func TestRule28_FieldsPassAsTheyAreOverHTTP2(t *testing.T) {
	fields := http2test.F("b", "1", "a", "2", "b", "3", "x-empty", "", "!authorization", "secret", "te", "trailers")
	trailers := http2test.F("z", "1", "y", "2", "z", "1")
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		head, _ := s.Head()
		got, _ := s.Trailers()
		_ = s.Headers(false, append(http2test.F(":status", "200"), head[4:]...))
		_ = s.Headers(true, got)
	})
	s := must(w.dialH2(http2test.Options{}).Request(false, append(http2test.Head("POST", "up.example", "/"), fields...)))(t)
	check(t, s.Headers(true, trailers))
	_, head := statusOf(t, s)
	if !slices.Equal(head[1:], fields) {
		t.Errorf("got %v", head)
	}
	if got := must(s.Trailers())(t); !slices.Equal(got, trailers) {
		t.Errorf("trailers %v", got)
	}
}

// Interim responses pass, in their order, before the final one (rule 11 has what they mean for retries).
//
//overtls:originate,intercept
func TestRule29_InterimResponsesPassOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		for _, status := range []string{"100", "103", "103"} {
			_ = s.Headers(false, http2test.F(":status", status, "link", "</"+status+">"))
		}
		_ = s.Respond(200, []byte("final"), nil)
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if body := must(s.Body())(t); string(body) != "final" {
		t.Errorf("got %q", body)
	}
	var got []string
	for _, f := range must(s.Interims(3))(t) {
		got = append(got, f.Get(":status")+f.Get("link"))
	}
	if !slices.Equal(got, []string{"100</100>", "103</103>", "103</103>"}) {
		t.Errorf("got %v", got)
	}
}

// Responses that have a length and no content (RFC 9110 sections 8.6 and 15.4.5) pass with it; with content they break the protocol.
//
//overtls:originate,intercept
func TestRule29_ResponsesWithoutContentOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		method, status string
		content        bool
	}{
		"HEAD":               {"HEAD", "200", false},
		"304":                {"GET", "304", false},
		"204":                {"GET", "204", false},
		"HEAD with content":  {"HEAD", "200", true},
		"304 with content":   {"GET", "304", true},
		"204 with content":   {"GET", "204", true},
		"HEAD, a late end":   {"HEAD", "200", false},
		"POST answered HEAD": {"POST", "204", false},
	} {
		for how, late := range map[string]bool{"at once": false, "with an empty DATA": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
					f := http2test.F(":status", tc.status, "content-length", "1000", "x", "y")
					_ = s.Headers(!tc.content && !late, f)
					if tc.content || late {
						_ = s.DataAnyway(make([]byte, map[bool]int{true: 1000}[tc.content]), true)
					}
				})
				c := w.dialH2(http2test.Options{})
				s := must(c.Request(true, http2test.Head(tc.method, "up.example", "/")))(t)
				status, head := statusOf(t, s)
				if status != tc.status || head.Get("content-length") != "1000" || head.Get("x") != "y" {
					t.Errorf("got %v", head)
				}
				if tc.content {
					if _, err := s.AwaitReset(); err != nil {
						t.Error(err)
					}
					return
				}
				if body := must(s.Body())(t); len(body) > 0 {
					t.Errorf("got %q", body)
				}
				check(t, c.Ping())
			})
		}
	}
}

// Content that is not as long as was said is not taken for complete, in either direction.
//
//overtls:originate,intercept
func TestRule29_LengthsAreCheckedOverHTTP2(t *testing.T) {
	for name, body := range map[string]string{"shorter": "1234", "longer": "123456"} {
		t.Run("response, "+name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
				_ = s.Respond(200, []byte(body), http2test.F("content-length", "5"))
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeInternal {
				t.Errorf("reset %v, %v", code, err)
			}
			if o := w.seen.lastCall(t).Outcome; !o.Truncated {
				t.Errorf("outcome %+v", o)
			}
		})
		t.Run("request, "+name, func(t *testing.T) {
			resets := make(chan error, 1)
			w, _ := scripted(t, toAnyH2(nil), func(n int, s *http2test.Stream) {
				if n == 0 {
					_ = s.Respond(200, nil, nil)
					return
				}
				_, err := s.AwaitReset()
				resets <- err
			})
			c := w.dialH2(http2test.Options{})
			statusOf(t, must(c.Get("up.example", "/", nil))(t)) // there is a connection: the next request is forwarded at once
			s := must(c.Post("up.example", "/", []byte(body), http2test.F("content-length", "5")))(t)
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeProtocol {
				t.Errorf("reset %v, %v", code, err)
			}
			check(t, <-resets)
			check(t, c.Ping())
		})
	}
}

// RST_STREAM with NO_ERROR behind a complete response is no failure of a request that was sent whole (RFC 9113 section 8.1).
func TestRule29_AResetBehindACompleteExchangeMeansNothing(t *testing.T) {
	for name, code := range map[string]http2.ErrCode{"NO_ERROR": http2.ErrCodeNo, "CANCEL": http2.ErrCodeCancel} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(everything), func(_ int, s *http2test.Stream) {
				_, _ = s.Body()
				_ = s.Respond(200, []byte("all"), nil)
				_ = s.Reset(code)
			})
			c := w.dialH2(http2test.Options{})
			for range 3 {
				s := must(c.Post("up.example", "/", []byte("x"), nil))(t)
				if body := must(s.Body())(t); string(body) != "all" {
					t.Errorf("got %q", body)
				}
			}
			if o := w.seen.lastCall(t).Outcome; o.Kind != call.OK || o.Truncated {
				t.Errorf("outcome %+v", o)
			}
			if n := len(srv.Conns()); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// What servers send that costs us more than them ends their connections, and calls fail as where the protocol is broken.
//
//overtls:originate,intercept
func TestRule30_FloodsOfServersEndTheirConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		kind  drive.Flood
		flood func(s *http2test.Stream) error
	}{
		"pings":        {drive.FloodPing, func(s *http2test.Stream) error { return s.Conn.PingFlood(5000) }},
		"settings":     {drive.FloodSettings, func(s *http2test.Stream) error { return s.Conn.SettingsFlood(1000) }},
		"priorities":   {drive.FloodPriority, func(s *http2test.Stream) error { return s.Conn.PriorityFlood(5000) }},
		"updates":      {drive.FloodWindowUpdate, func(s *http2test.Stream) error { return s.Conn.WindowUpdateFlood(30_000) }},
		"unknown":      {drive.FloodOther, func(s *http2test.Stream) error { return s.Conn.UnknownFlood(5000) }},
		"continuation": {drive.FloodContinuation, func(s *http2test.Stream) error { return s.Conn.ContinuationFlood(1000, nil) }},
		"empty data": {drive.FloodEmptyData, func(s *http2test.Stream) error {
			_ = s.Headers(false, http2test.F(":status", "200"))
			return s.EmptyDataFlood(5000)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }), func(n int, s *http2test.Stream) {
				if n > 0 {
					_ = s.Respond(200, nil, nil)
					return
				}
				_ = tc.flood(s) // fails where the connection has ended in the midst of it
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			if g, err := srv.AwaitConn(0).AwaitGoAway(); err != nil || g.Code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %+v, %v", g, err)
			}
			w.events.flooded(t, drive.ServerSide, tc.kind, 1)
			_, _ = s.Body()
			if o := w.seen.lastCall(t).Outcome; o.Kind == call.OK && !o.Truncated {
				t.Errorf("outcome %+v", o)
			}
			if status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("the next call got %v", head)
			}
		})
	}
}
