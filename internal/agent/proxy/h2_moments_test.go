package proxy

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// moment is one in the life of a call, a POST of "hello world" that is answered with "answer" and trailers, at which its server does something.
type moment struct {
	name     string
	uploads  bool  // the client sends the rest of its request when the server has done it
	answered bool  // the client has a part of the response when the server does it
	over     bool  // it has all of it
	came     int64 // so many bytes of its body
	// play plays the server's part up to the moment, has it act, and plays the rest.
	play func(s *http2test.Stream, act func())
}

var trailersOfAnswer = http2test.F("grpc-status", "0")

func answerFrom(s *http2test.Stream) {
	_ = s.Headers(false, http2test.F(":status", "200"))
	_ = s.Data([]byte("answer"), false)
	_ = s.Headers(true, trailersOfAnswer)
}

var moments = []moment{
	{name: "behind the head of the request", uploads: true, play: func(s *http2test.Stream, act func()) {
		act()
		_, _ = s.Body()
		answerFrom(s)
	}},
	{name: "in the body of the request", uploads: true, play: func(s *http2test.Stream, act func()) {
		_, _ = s.Received(5)
		act()
		_, _ = s.Body()
		answerFrom(s)
	}},
	{name: "behind the request", play: func(s *http2test.Stream, act func()) {
		_, _ = s.Body()
		act()
		answerFrom(s)
	}},
	{name: "behind the head of the response", answered: true, play: func(s *http2test.Stream, act func()) {
		_, _ = s.Body()
		_ = s.Headers(false, http2test.F(":status", "200"))
		act()
		_ = s.Data([]byte("answer"), false)
		_ = s.Headers(true, trailersOfAnswer)
	}},
	{name: "in the body of the response", answered: true, came: 3, play: func(s *http2test.Stream, act func()) {
		_, _ = s.Body()
		_ = s.Headers(false, http2test.F(":status", "200"))
		_ = s.Data([]byte("ans"), false)
		act()
		_ = s.Data([]byte("wer"), false)
		_ = s.Headers(true, trailersOfAnswer)
	}},
	{name: "before the trailers", answered: true, came: 6, play: func(s *http2test.Stream, act func()) {
		_, _ = s.Body()
		_ = s.Headers(false, http2test.F(":status", "200"))
		_ = s.Data([]byte("answer"), false)
		act()
		_ = s.Headers(true, trailersOfAnswer)
	}},
	{name: "behind the response", answered: true, over: true, came: 6, play: func(s *http2test.Stream, act func()) {
		_, _ = s.Body()
		answerFrom(s)
		act()
	}},
}

// played is a call whose first attempt's server acts at a moment.
type played struct {
	w      *testProxy
	srv    *http2test.Server
	client *http2test.Conn
	stream *http2test.Stream
	seen   atomic.Int64 // streams that servers have seen
	called *barrier     // the client has made its call
}

// play makes a call. Later attempts, and later calls, are answered with what they have sent.
func (m *moment) playWith(t *testing.T, change func(*policy.Settings), act func(s *http2test.Stream)) *played {
	t.Helper()
	p := &played{called: newBarrier()}
	m.playOn(t, p, change, act)
	return p
}

// playOn is playWith for an act that needs to know p.
func (m *moment) playOn(t *testing.T, p *played, change func(*policy.Settings), act func(s *http2test.Stream)) {
	t.Helper()
	acted := newBarrier()
	t.Cleanup(acted.now)
	t.Cleanup(p.called.now)
	p.srv = http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		if p.seen.Add(1) > 1 {
			body, _ := s.Body()
			_ = s.Respond(200, append([]byte("again: "), body...), nil)
			return
		}
		defer acted.now() // whatever fails
		m.play(s, func() { act(s); acted.now() })
	}})
	p.w = buildH2(t, p.srv.Addr())
	p.w.shopOf(policy.ProtocolHTTP2, change, p.srv.Addr())
	p.client = p.w.dialH2(http2test.Options{})
	p.stream = must(p.client.Request(false, http2test.Head("POST", "up.example", "/")))(t)
	check(t, p.stream.Data([]byte("hello"), false))
	p.called.now()
	if m.uploads {
		<-acted.C
	}
	_ = p.stream.Data([]byte(" world"), true) // the stream may have been reset by now
}

// outcome is what a client gets: a reset, or a whole answer.
func (p *played) outcome(t *testing.T) string {
	t.Helper()
	body, err := p.stream.Body()
	if code, ok := http2test.IsReset(err); ok {
		return code.String()
	}
	check(t, err)
	head := must(p.stream.Head())(t)
	if reason := head.Get("fairlead-reason"); reason != "" {
		return head.Get(":status") + " " + reason
	}
	return fmt.Sprintf("%s %s%s", head.Get(":status"), body, must(p.stream.Trailers())(t).Get("grpc-status"))
}

// verify compares what the client got, how many attempts there were, and how many streams servers saw, with what is wanted.
func (p *played) verify(t *testing.T, want string, attempts int) routes.Exchange {
	t.Helper()
	if got := p.outcome(t); got != want {
		t.Errorf("the client got %q, want %q", got, want)
	}
	e := p.w.seen.lastCall(t)
	if e.Outcome.Attempts != attempts || p.seen.Load() != int64(attempts) {
		t.Errorf("%d attempts, %d streams at servers, want %d", e.Outcome.Attempts, p.seen.Load(), attempts)
	}
	return e
}

// next makes another call, which is answered.
func (p *played) next(t *testing.T) {
	t.Helper()
	s := must(p.client.Post("up.example", "/", []byte("next"), nil))(t)
	if body, err := s.Body(); err != nil || string(body) != "again: next" {
		t.Errorf("the next call got %q, %v", body, err)
	}
}

// GOAWAY at each moment: a stream above the last one is made anew while its client has nothing of a response, whatever the method, and the
// others go on to their end; the connection takes no more, and ends with them.
func TestRule07_GoAwayAtEachMoment(t *testing.T) {
	const max = 1<<31 - 1
	for name, tc := range map[string]struct {
		lasts []uint32 // one GOAWAY for each
		taken bool     // the stream, which is number 1
	}{
		"below":                 {[]uint32{0}, false},
		"the stream":            {[]uint32{1}, true},
		"above":                 {[]uint32{max}, true},
		"announced, then below": {[]uint32{max, 0}, false},
		"announced, then it":    {[]uint32{max, 1}, true},
	} {
		for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeInternal} {
			for _, m := range moments {
				t.Run(fmt.Sprintf("%s/%v/%s", m.name, code, name), func(t *testing.T) {
					t.Parallel()
					p := m.playWith(t, nil, func(s *http2test.Stream) {
						for i, last := range tc.lasts {
							if i > 0 {
								_ = s.Conn.Ping()
							}
							_ = s.Conn.GoAway(last, code)
						}
					})
					want, attempts := "200 answer0", 1
					switch {
					case tc.taken || m.over:
					case m.answered:
						want = "REFUSED_STREAM" // as without us
					default:
						want, attempts = "200 again: hello world", 2
					}
					p.verify(t, want, attempts)
					if _, err := p.srv.AwaitConn(0).AwaitEnd(); err != nil {
						t.Errorf("the connection that the server leaves: %v", err)
					}
					p.next(t)
					if n := len(p.srv.Conns()); n != 2 {
						t.Errorf("%d connections, want another one", n)
					}
				})
			}
		}
	}
}

// A server that says GOAWAY and closes without having answered has had the request, if its number is not above the last one: a POST is not sent
// again, and what its client has of a response is cut.
func TestRule07_GoAwayAndTheEndAtEachMoment(t *testing.T) {
	for _, m := range moments {
		for last, taken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%d", m.name, last), func(t *testing.T) {
				t.Parallel()
				p := m.playWith(t, nil, func(s *http2test.Stream) {
					_ = s.Conn.GoAway(uint32(last), http2.ErrCodeNo)
					_ = s.Conn.Ping() // what was sent before has been read
					s.Conn.Close()
				})
				want, attempts := "502 reset", 1
				switch {
				case m.over:
					want = "200 answer0"
				case m.answered && taken:
					want = "INTERNAL_ERROR"
				case m.answered:
					want = "REFUSED_STREAM"
				case !taken:
					want, attempts = "200 again: hello world", 2
				}
				e := p.verify(t, want, attempts)
				if attempts == 1 && !m.answered && e.Outcome.Decision != call.ByMethod {
					t.Errorf("decided: %v", e.Outcome.Decision)
				}
				p.next(t)
			})
		}
	}
}

// GOAWAY in front of SETTINGS breaks the protocol (RFC 9113 section 3.4): the request may have been taken, and a POST is not sent again. It has come
// when the server breaks the protocol: a connection that has ended before it would be no reason not to make another.
func TestRule07_GoAwayBeforeSettings(t *testing.T) {
	w := buildH2(t, serve(t, func(_ int, p *peer) {
		fr := http2.NewFramer(p, p.r)
		if _, err := io.CopyN(io.Discard, p.r, int64(len(http2.ClientPreface))); err != nil {
			t.Error(err)
			return
		}
		for came := false; !came; {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Error(err)
				return
			}
			_, came = f.(*http2.HeadersFrame)
		}
		_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		for { // until the other side ends
			if _, err := p.r.ReadByte(); err != nil {
				return
			}
		}
	}), toAnyH2(nil))
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)
	if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != "protocol" {
		t.Errorf("got %v", head)
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// GOAWAY right behind SETTINGS: whatever comes meanwhile is above the last stream.
func TestRule07_GoAwayBehindSettings(t *testing.T) {
	var conns atomic.Int64
	var srv *http2test.Server
	srv = http2test.NewServer(t, http2test.Script{
		Conn: func(c *http2test.Conn) {
			if conns.Add(1) == 1 {
				_ = c.GoAway(0, http2.ErrCodeEnhanceYourCalm)
			}
		},
		Stream: func(s *http2test.Stream) {
			if s.Conn != srv.AwaitConn(0) {
				_ = s.Respond(200, nil, nil)
			}
		},
	})
	w := buildH2(t, srv.Addr())
	w.shopOf(policy.ProtocolHTTP2, nil, srv.Addr())
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)
	if status, head := statusOf(t, s); status != "200" || conns.Load() != 2 {
		t.Errorf("got %v over %d connections", head, conns.Load())
	}
	if _, err := srv.AwaitConn(0).AwaitEnd(); err != nil {
		t.Error(err)
	}
}

// RST_STREAM at each moment: REFUSED_STREAM is made anew while the client has nothing of a response; any other code is a failure of an attempt
// that was sent, or cuts what the client has, with the same code, and after a complete response changes nothing.
func TestRule07_ResetsAtEachMoment(t *testing.T) {
	for _, code := range []http2.ErrCode{
		http2.ErrCodeNo, http2.ErrCodeCancel, http2.ErrCodeInternal, http2.ErrCodeRefusedStream, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeHTTP11Required,
	} {
		for _, m := range moments {
			t.Run(fmt.Sprintf("%s/%v", m.name, code), func(t *testing.T) {
				t.Parallel()
				p := m.playWith(t, nil, func(s *http2test.Stream) { _ = s.Reset(code) })
				want, attempts := "502 reset", 1
				switch {
				case m.over:
					want = "200 answer0"
				case m.answered:
					want = code.String()
				case code == http2.ErrCodeRefusedStream:
					want, attempts = "200 again: hello world", 2
				}
				e := p.verify(t, want, attempts)
				if cut := m.answered && !m.over; e.Outcome.Truncated != cut {
					t.Errorf("truncated: %v", e.Outcome.Truncated)
				}
				p.next(t)
				if n := len(p.srv.Conns()); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

var settingsInMidFlight = map[string][]http2.Setting{
	"no table":       {{ID: http2.SettingHeaderTableSize, Val: 0}},
	"a large table":  {{ID: http2.SettingHeaderTableSize, Val: 1 << 20}},
	"a small window": {window(2)},
	"a large window": {window(1 << 24)},
	"one stream":     {allow(1)},
	"no streams":     {allow(0)},
	"large frames":   {{ID: http2.SettingMaxFrameSize, Val: 1 << 20}},
	"nothing":        nil,
	"unknown":        {{ID: 0xbad, Val: 7}},
	"several":        {{ID: http2.SettingHeaderTableSize, Val: 0}, {ID: http2.SettingHeaderTableSize, Val: 4096}, window(1), window(70_000), allow(0), allow(1)},
}

// SETTINGS at each moment change what follows, and not what becomes of the call.
func TestRule31_SettingsAtEachMoment(t *testing.T) {
	for name, settings := range settingsInMidFlight {
		for _, m := range moments {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := m.playWith(t, nil, func(s *http2test.Stream) {
					_ = s.Conn.Settings(settings...)
					_ = s.Conn.AwaitSettingsAck(2)
				})
				p.verify(t, "200 answer0", 1)
				check(t, p.srv.AwaitConn(0).Settings(allow(100), window(65535), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}))
				p.next(t)
				if n := len(p.srv.Conns()); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}
