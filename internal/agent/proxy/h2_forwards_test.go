package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// Max-Forwards of OPTIONS and TRACE is counted down, once for all attempts, and at zero the agent answers as the final recipient
// (RFC 9110 section 7.6.2).
func TestRule29_MaxForwardsOverHTTP2(t *testing.T) {
	const reflected = "TRACE /x HTTP/2.0\r\nhost: up.example\r\nmax-forwards: 0\r\nx: y\r\n\r\n"
	for name, tc := range map[string]struct {
		method, value string
		forwarded     string // what the server is sent; empty: nothing
		body          string
	}{
		"OPTIONS, one left": {"OPTIONS", "1", "0", ""},
		"TRACE, ten left":   {"TRACE", "10", "9", ""},
		"OPTIONS, none":     {"OPTIONS", "0", "", ""},
		"TRACE, none":       {"TRACE", "0", "", reflected},
		"GET":               {"GET", "0", "0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan string, 2)
			w, srv := scripted(t, toAnyH2(func(s *policy.Settings) { s.Retry.StatusCodes = []policy.StatusRange{{From: 503, To: 503}} }), func(n int, s *http2test.Stream) {
				head, _ := s.Head()
				heard <- head.Get("max-forwards")
				_ = s.Respond(map[bool]int{true: 503, false: 200}[n == 0], nil, nil)
			})
			c := w.dialH2(http2test.Options{})
			q := append(http2test.Head(tc.method, "up.example", "/x"), http2test.F("max-forwards", tc.value, "x", "y", "authorization", "secret")...)
			s := must(c.Request(true, q))(t)
			status, head := statusOf(t, s)
			body := must(s.Body())(t)
			if status != "200" || string(body) != tc.body {
				t.Errorf("got %v %q", head, body)
			}
			if tc.forwarded == "" {
				if len(srv.Conns()) > 0 {
					t.Error("it was forwarded")
				}
				check(t, c.Ping()) // the connection stays
				return
			}
			for range 2 {
				if got := <-heard; got != tc.forwarded {
					t.Errorf("the server heard %q, want %q in each attempt", got, tc.forwarded)
				}
			}
		})
	}
}

// What is left of a request that the agent answers itself is not waited for, and a reflection that the client's window has no room for is left out.
func TestRule29_ALastForwardIsAnsweredWithoutItsContent(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(500, nil, nil) })
	c := w.dialH2(http2test.Options{Settings: []http2.Setting{window(10)}})
	q := append(http2test.Head("TRACE", "up.example", "/"), http2test.F("max-forwards", "0")...)
	s := must(c.Request(false, q))(t)
	if status, head := statusOf(t, s); status != "200" || head.Has("content-length") {
		t.Errorf("got %v", head)
	}
	if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeNo {
		t.Errorf("reset %v, %v", code, err)
	}
	check(t, c.Ping())
}
