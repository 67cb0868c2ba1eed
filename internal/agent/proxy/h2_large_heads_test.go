package proxy

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	codec "fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// listOf returns head and one field more, with which the list is of so many bytes, as RFC 9113 section 6.5.2 counts them.
func listOf(size int, head http2test.Fields) http2test.Fields {
	for _, f := range head {
		size -= len(f.Name) + len(f.Value) + 32
	}
	return append(head[:len(head):len(head)], http2test.F("x", strings.Repeat("v", size-33))...)
}

// crumbs returns head with more small fields than there may be.
func crumbs(head http2test.Fields) http2test.Fields {
	more := make(http2test.Fields, 9000)
	for i := range more {
		more[i] = http2test.F("set-cookie", "a=b")[0]
	}
	return append(head[:len(head):len(head)], more...)
}

// What a server sends beyond the limit on header lists is its failure: 502 while the client has nothing of the response, and a cut response
// then. Only that stream ends with it, unless the block is too large to be read at all.
//
//overtls:originate
func TestRule30_ResponseHeadsThatAreTooLargeOverHTTP2(t *testing.T) {
	ok, hints := http2test.F(":status", "200"), http2test.F(":status", "103")
	for name, tc := range map[string]struct {
		answer func(s *http2test.Stream)
		want   string // the status and the reason, or the code of a reset
		ends   bool   // the connection ends
	}{
		"as large as it may be": {func(s *http2test.Stream) { _ = s.Headers(true, listOf(codec.MaxList, ok)) }, "200 ", false},
		"a byte more":           {func(s *http2test.Stream) { _ = s.Headers(true, listOf(codec.MaxList+1, ok)) }, "502 protocol", false},
		"many fields":           {func(s *http2test.Stream) { _ = s.Headers(false, crumbs(ok)) }, "502 protocol", false},
		"an interim response":   {func(s *http2test.Stream) { _ = s.Headers(false, crumbs(hints)) }, "502 protocol", false},
		"trailers": {func(s *http2test.Stream) {
			_ = s.Headers(false, ok)
			_ = s.Data([]byte("some"), false)
			_ = s.Headers(true, crumbs(nil))
		}, "INTERNAL_ERROR", false},
		"a block": {func(s *http2test.Stream) {
			_ = s.HeadersIn(http2test.Shape{Most: 16384}, true, http2test.F(":status", "200", "x", strings.Repeat("\x7f", codec.MaxBlock)))
		}, "502 protocol", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":path") == "/next" {
					_ = s.Respond(200, nil, nil)
					return
				}
				tc.answer(s)
			}})
			w := buildH2(t, srv.Addr())
			w.shopOf(policy.ProtocolHTTP2, func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, srv.Addr())
			c := w.dialH2(http2test.Options{})
			s := must(c.Post("up.example", "/", []byte("x"), nil))(t)
			_, err := s.Body()
			head, _ := s.Head()
			got := head.Get(":status") + " " + head.Get("fairlead-reason")
			if code, ok := http2test.IsReset(err); ok {
				got = code.String()
			}
			if got != tc.want {
				t.Errorf("the client got %q, want %q", got, tc.want)
			}
			if tc.want != "200 " {
				w.events.flooded(t, drive.ServerSide, drive.FloodHeaderList, 1)
			}
			conn := srv.AwaitConn(0)
			if tc.ends {
				if g, err := conn.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("GOAWAY %+v, %v", g, err)
				}
			}
			if status, _ := statusOf(t, must(c.Get("up.example", "/next", nil))(t)); status != "200" {
				t.Errorf("the next call got %s", status)
			}
			if n, most := len(srv.Conns()), map[bool]int{false: 1, true: 2}[tc.ends]; n != most {
				t.Errorf("%d connections, want %d", n, most)
			}
		})
	}
}

// Trailers of a request that are too large end its stream, which is reset on both sides, and no other.
//
//overtls:originate,intercept
func TestRule30_TrailersThatAreTooLargeAreRefusedOverHTTP2(t *testing.T) {
	came, reset := make(chan struct{}), make(chan http2.ErrCode, 1)
	w, _ := scripted(t, toAnyH2(nil), func(n int, s *http2test.Stream) {
		if n == 0 {
			close(came)
			code, _ := s.AwaitReset()
			reset <- code
			return
		}
		_ = s.Respond(200, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
	check(t, s.Data([]byte("some"), false))
	<-came
	check(t, s.Headers(true, crumbs(nil)))
	if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("reset %v, %v", code, err)
	}
	if code := <-reset; code != http2.ErrCodeCancel {
		t.Errorf("the server got %v", code)
	}
	w.events.flooded(t, drive.ClientSide, drive.FloodHeaderList, 1)
	if status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "200" {
		t.Errorf("the next call got %s", status)
	}
}
