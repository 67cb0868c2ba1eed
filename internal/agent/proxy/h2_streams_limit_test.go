package proxy

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func allow(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n}
}

// Where a server allows no streams for the time being, calls wait until it does.
func TestRule25_CallsWaitForAServerThatAllowsNoStreams(t *testing.T) {
	for name, early := range map[string]bool{"from the beginning": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			o := http2test.Options{}
			if early {
				o.Settings = []http2.Setting{allow(0)}
			}
			var open atomic.Bool
			srv := http2test.NewServer(t, http2test.Script{Options: o, Stream: func(s *http2test.Stream) {
				switch {
				case !early && s.ID == 1:
					_ = s.Conn.Settings(allow(0))
				case !open.Load(): // it was under way before the settings were known
					_ = s.Reset(http2.ErrCodeRefusedStream)
					return
				}
				_ = s.Respond(200, nil, nil)
			}})
			w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) { s.Pool.PendingTimeout = patience }))
			c := w.dialH2(http2test.Options{})
			if !early {
				statusOf(t, must(c.Get("up.example", "/", nil))(t))
			}
			waiting := []*http2test.Stream{must(c.Get("up.example", "/", nil))(t), must(c.Get("up.example", "/", nil))(t)}
			poll(t, func() bool {
				n := 0
				w.store.Stats(time.Now(), func(s routes.Stats) { n += s.Pool.Waiting })
				return n == len(waiting)
			})
			open.Store(true)
			check(t, srv.AwaitConn(0).Settings(allow(10)))
			for _, s := range waiting {
				if status, head := statusOf(t, s); status != "200" {
					t.Errorf("got %v", head)
				}
			}
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// They wait no longer than for a place in the pool, or for a connection.
func TestRule25_TheWaitForAStreamIsBounded(t *testing.T) {
	for name, set := range map[string]func(*policy.Settings){
		"pendingTimeout": func(s *policy.Settings) { s.Pool.PendingTimeout = 50 * time.Millisecond },
		"connect":        func(s *policy.Settings) { s.Pool.PendingTimeout, s.Timeouts.Connect = 0, 50*time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(set), func(_ int, s *http2test.Stream) {
				_ = s.Conn.Settings(allow(0))
				_ = s.Respond(200, nil, nil)
			})
			c := w.dialH2(http2test.Options{})
			statusOf(t, must(c.Get("up.example", "/", nil))(t))
			if status, head := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "503" || head.Get("fairlead-reason") != "pool_overflow" {
				t.Errorf("got %v", head)
			}
		})
	}
}

// Others of the Service's endpoints are not concerned.
func TestRule25_CallsGoElsewhereWhereAServerAllowsNoStreams(t *testing.T) {
	script := func(status int) http2test.Script {
		return http2test.Script{Stream: func(s *http2test.Stream) {
			if status == 201 {
				_ = s.Conn.Settings(allow(0))
			}
			_ = s.Respond(status, nil, nil)
		}}
	}
	closing, open := http2test.NewServer(t, script(201)), http2test.NewServer(t, script(200))
	w := build(t, netip.MustParseAddrPort("127.0.0.1:1"), toAnyH2(nil))
	w.shopOf(policy.ProtocolHTTP2, nil, closing.Addr(), open.Addr())
	c := w.dialH2(http2test.Options{})
	at := map[string]int{}
	for range 20 {
		status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t))
		at[status]++
	}
	if at["201"] != 1 || at["200"] != 19 {
		t.Errorf("got %v", at)
	}
}

// An edit of the policy's limit holds for connections that are open.
func TestRule33_AnEditOfMaxConcurrentStreamsHoldsForOpenConnections(t *testing.T) {
	release := newBarrier()
	defer release.now()
	limited := func(n int) policy.Binding {
		return toAnyH2(func(s *policy.Settings) {
			s.Pool.MaxStreams, s.Pool.MaxConnections, s.Pool.PendingTimeout = n, 1, patience
		})
	}
	arrived := make(chan struct{}, 10)
	w, srv := scripted(t, limited(1), func(_ int, s *http2test.Stream) {
		arrived <- struct{}{}
		<-release.C
		_ = s.Respond(200, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	var streams []*http2test.Stream
	for range 3 {
		streams = append(streams, must(c.Get("up.example", "/", nil))(t))
	}
	<-arrived
	check(t, c.Ping())
	if len(arrived) > 0 {
		t.Error("more streams than the policy allows")
	}
	w.install(limited(3))
	<-arrived
	<-arrived // before the first has ended
	release.now()
	for _, s := range streams {
		statusOf(t, s)
	}
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Frames on streams that cannot be there end the connection (RFC 9113 section 5.1).
func TestRule31_FramesOfIdleStreamsEndTheConnection(t *testing.T) {
	for name, send := range map[string]func(fr *http2.Framer) error{
		"RST_STREAM, not opened yet":    func(fr *http2.Framer) error { return fr.WriteRSTStream(99, http2.ErrCodeCancel) },
		"RST_STREAM, a server's":        func(fr *http2.Framer) error { return fr.WriteRSTStream(2, http2.ErrCodeCancel) },
		"WINDOW_UPDATE, not opened yet": func(fr *http2.Framer) error { return fr.WriteWindowUpdate(99, 1) },
		"WINDOW_UPDATE, a server's":     func(fr *http2.Framer) error { return fr.WriteWindowUpdate(2, 1) },
		"DATA, not opened yet":          func(fr *http2.Framer) error { return fr.WriteData(99, true, nil) },
		"DATA, a server's":              func(fr *http2.Framer) error { return fr.WriteData(2, true, []byte("x")) },
		"HEADERS, a server's": func(fr *http2.Framer) error {
			return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2, BlockFragment: []byte{0x82}, EndHeaders: true})
		},
		"RST_STREAM on none at all":        func(fr *http2.Framer) error { return fr.WriteRawFrame(http2.FrameRSTStream, 0, 0, make([]byte, 4)) },
		"SETTINGS on a stream":             func(fr *http2.Framer) error { return fr.WriteRawFrame(http2.FrameSettings, 0, 1, nil) },
		"PING on a stream":                 func(fr *http2.Framer) error { return fr.WriteRawFrame(http2.FramePing, 0, 1, make([]byte, 8)) },
		"a push":                           func(fr *http2.Framer) error { return fr.WriteRawFrame(http2.FramePushPromise, 4, 1, make([]byte, 5)) },
		"a CONTINUATION without a HEADERS": func(fr *http2.Framer) error { return fr.WriteContinuation(3, true, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			c := w.dialH2(http2test.Options{})
			for range 2 {
				statusOf(t, must(c.Get("up.example", "/", nil))(t))
			}
			check(t, c.Frames(send))
			if g, err := c.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeProtocol {
				t.Errorf("GOAWAY %+v, %v", g, err)
			}
			must(c.AwaitEnd())(t)
		})
	}
}

// A pod that has ended may have no dialer any more: a stream that no policy governs is refused then, and nothing panics.
func TestRule12_UngovernedStreamsOfAPodThatHasEnded(t *testing.T) {
	w, _ := scripted(t, forHost("up.example", policy.ProtocolAuto, nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	w.dialer.gone.Store(true)
	if status, head := statusOf(t, must(c.Get("other.example", "/", nil))(t)); status != "500" || head.Get("fairlead-reason") != "internal" {
		t.Errorf("got %v", head)
	}
}
