package proxy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// Nothing of ours is seen on a connection whose first request no policy governs.
func TestRule00_AnUngovernedHTTP2ConnectionIsPassedOn(t *testing.T) {
	w, srv := scripted(t, forHost("other.example", policy.ProtocolAuto, nil), func(_ int, s *http2test.Stream) {
		_ = s.Respond(200, []byte("direct"), nil)
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Get("up.example", "/", nil))(t)
	if body := must(s.Body())(t); string(body) != "direct" {
		t.Fatalf("got %q", body)
	}
	if n := w.events.passed[PassedUnmatched].Load(); n != 1 {
		t.Errorf("%d connections were passed on", n)
	}
	if id, ok := c.PeerSetting(http2.SettingMaxConcurrentStreams); ok {
		t.Errorf("the client got a setting of ours: %d", id)
	}
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Requests that no policy governs on a connection on which one was go to where the client wanted to go.
func TestRule00_UngovernedRequestsOfAGovernedConnection(t *testing.T) {
	w, _ := scripted(t, forHost("up.example", policy.ProtocolAuto, func(s *policy.Settings) { s.Timeouts.Overall = 500 * time.Millisecond }),
		func(n int, s *http2test.Stream) {
			if n > 0 {
				select {
				case <-t.Context().Done():
				case <-time.After(time.Second):
				}
			}
			_ = s.Respond(200, nil, nil)
		})
	c := w.dialH2(http2test.Options{})
	for i, tc := range []struct{ host, want string }{{"up.example", "200"}, {"other.example", "200"}, {"up.example", "504"}} {
		s := must(c.Get(tc.host, "/", nil))(t)
		if status, head := statusOf(t, s); status != tc.want {
			t.Errorf("call %d: got %v", i, head)
		}
	}
}

// A client that waits for SETTINGS before it sends a request, as some do, gets ours where the first request would decide.
func TestAClientThatWaitsForSettingsGetsThem(t *testing.T) {
	w, _ := scripted(t, forHost("up.example", policy.ProtocolAuto, nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	c := w.dialH2(http2test.Options{})
	check(t, c.AwaitSettingsAck(1))
	s := must(c.Get("up.example", "/", nil))(t)
	if status, _ := statusOf(t, s); status != "200" {
		t.Errorf("status %s", status)
	}
	if w.seen.lastCall(t).Outcome.Status != 200 {
		t.Error("it is not governed")
	}
}

// Connections to servers are shared by all clients of a pod, whatever the version the others speak.
func TestClientsShareConnectionsOverHTTP2(t *testing.T) {
	w := build(t, serveH2(t, echoH2), toAnyH2(nil))
	for range 5 {
		c := w.clientH2()
		if res, _ := do(t, c, "GET", "/", ""); res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

//enforces:http2 connectionPool.http2.maxConcurrentStreams
func TestMaxConcurrentStreamsBoundsHowManyShareAConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		policy int
		server uint32
		want   int64
	}{"the policy's": {2, 100, 3}, "the server's": {100, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			release := newBarrier()
			defer release.now()
			srv := http2test.NewServer(t, http2test.Script{
				Options: http2test.Options{Settings: []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: tc.server}}},
				Stream: func(s *http2test.Stream) {
					if head, _ := s.Head(); head.Get(":path") == "/first" {
						_ = s.Respond(200, nil, nil)
						return
					}
					<-release.C
					_ = s.Respond(200, nil, nil)
				},
			})
			w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) { s.Pool.MaxStreams = tc.policy }))
			c := w.dialH2(http2test.Options{})
			statusOf(t, must(c.Get("up.example", "/first", nil))(t)) // by now the server's settings are known
			var streams []*http2test.Stream
			for range 6 {
				streams = append(streams, must(c.Get("up.example", "/", nil))(t))
			}
			w.waitFor(t, func() bool { return w.dialer.dials.Load() >= tc.want })
			release.now()
			for _, s := range streams {
				if status, _ := statusOf(t, s); status != "200" {
					t.Errorf("status %s", status)
				}
			}
			if n := w.dialer.dials.Load(); n > tc.want {
				t.Errorf("%d connections, want %d", n, tc.want)
			}
		})
	}
}

// GOAWAY has the server's connection end with the streams that are open, and others go elsewhere.
func TestGoAwayOfAServerDrainsItsConnection(t *testing.T) {
	release := newBarrier()
	defer release.now()
	said := make(chan error, 1)
	w, srv := scripted(t, toAnyH2(nil), func(n int, s *http2test.Stream) {
		if n == 0 {
			_ = s.Conn.GoAway(s.ID, http2.ErrCodeNo)
			said <- s.Conn.Ping() // it has arrived
			<-release.C
		}
		_ = s.Respond(200, nil, nil)
	})
	w.shopOf(policy.ProtocolHTTP2, nil, srv.Addr())
	c := w.dialH2(http2test.Options{})
	first := must(c.Get("up.example", "/", nil))(t)
	check(t, <-said)
	if status, _ := statusOf(t, must(c.Get("up.example", "/", nil))(t)); status != "200" {
		t.Errorf("status %s", status)
	}
	if n := len(srv.Conns()); n != 2 {
		t.Errorf("%d connections", n)
	}
	release.now()
	if status, _ := statusOf(t, first); status != "200" {
		t.Errorf("status %s", status)
	}
	if _, err := srv.AwaitConn(0).AwaitEnd(); err != nil {
		t.Error(err)
	}
}

// Where the client chose the address, the end of the server's connection ends the client's.
func TestRule25_AServersEndIsThatOfAPinnedClientOverHTTP2(t *testing.T) {
	for name, end := range map[string]func(c *http2test.Conn){
		"GOAWAY": func(c *http2test.Conn) { _ = c.GoAway(1, http2.ErrCodeNo) },
		"closed": func(c *http2test.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
			c := w.dialH2(http2test.Options{})
			statusOf(t, must(c.Get("up.example", "/", nil))(t))
			end(srv.AwaitConn(0))
			if g := must(c.AwaitGoAway())(t); g.Code != http2.ErrCodeNo || g.Last != 1 {
				t.Errorf("GOAWAY %+v", g)
			}
			must(c.AwaitEnd())(t)
		})
	}
}

// A panic of ours ends what it concerns, and gives everything back.
func TestAPanicEndsItsConnectionOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(everything), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
	w.events.expectPanic.Store(true)
	w.dialer.panics.Store(true)
	c := w.dialH2(http2test.Options{})
	must(c.Get("up.example", "/", nil))(t)
	_, _ = c.AwaitEnd()
	w.waitFor(t, func() bool { return w.events.panics.Load() > 0 && w.server.Connections() == 0 })
	w.dialer.panics.Store(false)
	if status, _ := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)); status != "200" {
		t.Errorf("status %s", status)
	}
}

// A drain has clients open no more streams, in two steps, and ends their connections with the last stream.
func TestADrainEndsHTTP2Connections(t *testing.T) {
	release := newBarrier()
	defer release.now()
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		<-release.C
		_ = s.Respond(200, []byte("to the end"), nil)
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Get("up.example", "/", nil))(t)
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(ctx) }()
	g := must(c.AwaitGoAway())(t)
	if g.Code != http2.ErrCodeNo || g.Last != 1<<31-1 {
		t.Errorf("the first GOAWAY is %+v", g)
	}
	release.now()
	if body := must(s.Body())(t); string(body) != "to the end" {
		t.Errorf("got %q", body)
	}
	all, err := c.AwaitEnd()
	if err != nil || len(all) != 2 || all[1].Last != 1 {
		t.Errorf("GOAWAYs %+v, %v", all, err)
	}
	c.Close()
	check(t, <-done)
}

//enforces:http2 connectionPool.http2.pingInterval connectionPool.http2.pingTimeout
func TestPingsFindAServerThatIsGone(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{NoPingAck: true}, Stream: func(s *http2test.Stream) {
	}})
	w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) {
		s.Pool.PingInterval, s.Pool.PingTimeout = 30*time.Millisecond, 30*time.Millisecond
		s.Timeouts.Overall = 3 * time.Second // sooner than an answer is given up that no time is written for
		s.Retry.MaxRetries = 0
	}))
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)
	if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != "reset" {
		t.Errorf("got %v", head)
	}
}

func TestTheAnswerToAPingMayTakeAsLongAsWritten(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{NoPingAck: true}, Stream: func(s *http2test.Stream) {
		if s.Conn.AwaitCount(http2.FramePing, 1) != nil {
			return
		}
		for range 100 { // there and back: long enough for who does not wait at all
			if s.Conn.Ping() != nil {
				return
			}
		}
		_ = s.Respond(200, nil, nil)
	}})
	w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) {
		s.Pool.PingInterval, s.Pool.PingTimeout = 30*time.Millisecond, time.Hour
		s.Retry.MaxRetries = 0
	}))
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)
	if status, head := statusOf(t, s); status != "200" {
		t.Errorf("got %v", head)
	}
}

// Real clients and servers, one after the other and beside each other.
func TestRealClientsOverHTTP2(t *testing.T) {
	w := build(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) {
		rw.Header().Set("Trailer", "X-End")
		rw.WriteHeader(201)
		_, _ = rw.Write([]byte(q.Header.Get("X-Give")))
		rw.Header().Set("X-End", "yes")
	}), toAnyH2(everythingSlow))
	c := w.clientH2()
	q, _ := http.NewRequestWithContext(t.Context(), "GET", "http://up.example/", nil)
	q.Header.Set("X-Give", "this")
	res, err := c.Do(q)
	check(t, err)
	defer res.Body.Close()
	var b [16]byte
	n, _ := res.Body.Read(b[:])
	_, _ = res.Body.Read(b[n:])
	if res.StatusCode != 201 || string(b[:4]) != "this" || res.Trailer.Get("X-End") != "yes" {
		t.Errorf("got %d %q %v", res.StatusCode, b, res.Trailer)
	}
	res, err = c.Head("http://up.example/")
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 201 {
		t.Errorf("HEAD got %d", res.StatusCode)
	}
}
