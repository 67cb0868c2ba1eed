package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// extended is the setting that offers extended CONNECT (RFC 8441 section 3).
const extended = http2.SettingID(8)

// websocket is the head of a request for a tunnel (RFC 8441 section 5).
func websocket() http2test.Fields {
	return http2test.F(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "up.example", ":path", "/chat", "sec-websocket-version", "13")
}

// A client is offered extended CONNECT once a server has offered it, and the tunnel carries what either side says, until both have ended it.
func TestRule29_ExtendedConnectIsATunnel(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{Settings: []http2.Setting{{ID: extended, Val: 1}}},
		Stream: func(s *http2test.Stream) {
			head, _ := s.Head()
			if head.Get(":method") != "CONNECT" {
				_ = s.Respond(200, nil, nil)
				return
			}
			if head.Get(":protocol") != "websocket" || head.Get(":path") != "/chat" {
				t.Errorf("got %v", head)
			}
			_ = s.Headers(false, http2test.F(":status", "200", "sec-websocket-protocol", "chat"))
			_ = s.Data([]byte("welcome"), false)
			body, _ := s.Body()
			_ = s.Data(append([]byte(", "), body...), true)
		},
	})
	w := buildH2(t, srv.Addr(), toAnyH2(everythingSlow))
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	poll(t, func() bool { v, _ := c.PeerSetting(extended); return v == 1 })
	s := must(c.Request(false, websocket()))(t)
	if status, head := statusOf(t, s); status != "200" || head.Get("sec-websocket-protocol") != "chat" {
		t.Fatalf("got %v", head)
	}
	must(s.Received(int64(len("welcome"))))(t)
	for _, piece := range []string{"one ", "two ", "three"} {
		check(t, s.Data([]byte(piece), false))
	}
	check(t, s.Data(nil, true))
	if body := must(s.Body())(t); string(body) != "welcome, one two three" {
		t.Errorf("got %q", body)
	}
	if o := w.seen.lastCall(t).Outcome; o.Kind != call.OK || o.Truncated {
		t.Errorf("outcome %+v", o)
	}
}

// Without an offer it is malformed (RFC 8441 section 4), and nothing of it is forwarded.
func TestRule29_ExtendedConnectWithoutAnOffer(t *testing.T) {
	w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	c := w.dialH2(http2test.Options{})
	if code, err := must(c.Request(false, websocket()))(t).AwaitReset(); err != nil || code != http2.ErrCodeProtocol {
		t.Errorf("reset %v, %v", code, err)
	}
	if len(srv.Conns()) > 0 {
		t.Error("it was forwarded")
	}
}

// A tunnel that either side breaks off is broken off for the other.
func TestRule29_ATunnelThatBreaksOff(t *testing.T) {
	codes := make(chan http2.ErrCode, 1)
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{Settings: []http2.Setting{{ID: extended, Val: 1}}},
		Stream: func(s *http2test.Stream) {
			head, _ := s.Head()
			switch {
			case head.Get(":method") != "CONNECT":
				_ = s.Respond(200, nil, nil)
				return
			case head.Has("x-server-ends"):
				_ = s.Headers(false, http2test.F(":status", "200"))
				_ = s.Reset(http2.ErrCodeConnect)
				return
			}
			_ = s.Headers(false, http2test.F(":status", "200"))
			code, _ := s.AwaitReset()
			codes <- code
		},
	})
	w := buildH2(t, srv.Addr(), toAnyH2(nil))
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	poll(t, func() bool { v, _ := c.PeerSetting(extended); return v == 1 })
	s := must(c.Request(false, websocket()))(t)
	statusOf(t, s)
	check(t, s.Reset(http2.ErrCodeCancel))
	if code := <-codes; code != http2.ErrCodeCancel {
		t.Errorf("the server got %v", code)
	}
	s = must(c.Request(false, append(websocket(), http2test.F("x-server-ends", "1")...)))(t)
	statusOf(t, s)
	if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeConnect {
		t.Errorf("the client got %v, %v", code, err)
	}
}
