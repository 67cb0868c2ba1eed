package proxy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// A client that does not take one response slows down that one alone, and what is kept of it is bounded.
func TestRule31_ASlowReaderSlowsItsOwnStreamAlone(t *testing.T) {
	const large = 8 << 20
	sent := make(chan int, 1)
	w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		if head, _ := s.Head(); head.Get(":path") == "/large" {
			_ = s.Headers(false, http2test.F(":status", "200"))
			for i := range large >> 14 {
				if s.Data(bytes.Repeat([]byte{'x'}, 1<<14), i == large>>14-1) != nil {
					return
				}
			}
			sent <- 1
			return
		}
		_ = s.Respond(200, []byte("small"), nil)
	})
	c := w.dialH2(http2test.Options{HoldWindows: true})
	check(t, c.GiveWindow(1<<30))
	slow := must(c.Get("up.example", "/large", nil))(t)
	statusOf(t, slow)
	must(slow.Received(65535))(t)
	for range 20 {
		s := must(c.Get("up.example", "/small", nil))(t)
		if body := must(s.Body())(t); string(body) != "small" {
			t.Fatalf("got %q", body)
		}
	}
	// The server was not given more than one stream's window beyond what the client took.
	conn := srv.AwaitConn(0)
	check(t, conn.Ping())
	if len(sent) > 0 {
		t.Error("the response was taken from the server as a whole")
	}
	check(t, slow.GiveWindow(1<<30))
	if body := must(slow.Body())(t); len(body) != large {
		t.Errorf("%d bytes came", len(body))
	}
	<-sent
}

// The same for requests that the server does not take.
func TestRule31_ASlowServerSlowsItsOwnStreamAlone(t *testing.T) {
	const large = 4 << 20
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{HoldWindows: true},
		Conn:    func(c *http2test.Conn) { _ = c.GiveWindow(1 << 30) },
		Stream: func(s *http2test.Stream) {
			head, _ := s.Head()
			if head.Get(":path") == "/large" {
				_ = s.Headers(false, http2test.F(":status", "200"))
				return
			}
			body, _ := s.Body()
			_ = s.Respond(200, body, nil)
		},
	})
	w := buildH2(t, srv.Addr(), toAnyH2(nil))
	c := w.dialH2(http2test.Options{})
	slow := must(c.Request(false, http2test.Head("POST", "up.example", "/large")))(t)
	done := make(chan error, 1)
	go func() { done <- slow.Data(make([]byte, large), true) }()
	statusOf(t, slow)
	for range 20 {
		s := must(c.Post("up.example", "/small", []byte("small"), nil))(t)
		if body := must(s.Body())(t); string(body) != "small" {
			t.Fatalf("got %q", body)
		}
	}
	select {
	case err := <-done:
		t.Errorf("the request was taken from the client as a whole: %v", err)
	default:
	}
	check(t, slow.Reset(http2.ErrCodeCancel))
	c.Close() // which ends what still waits for a window
	<-done
}

func TestRule18_ABodyIsKeptForAnotherAttemptOverHTTP2(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 3000) // 48 KiB
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Retry.Idempotency = policy.AnyMethod
	}), func(n int, s *http2test.Stream) {
		got, _ := s.Body()
		trailers, _ := s.Trailers()
		if n < 2 {
			_ = s.Respond(503, nil, nil)
			return
		}
		_ = s.Respond(200, fmt.Appendf(nil, "%v %s", bytes.Equal(got, body), trailers.Get("x-sum")), nil)
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
	for i := 0; i < len(body); i += 1 << 10 {
		check(t, s.Data(body[i:min(i+1<<10, len(body))], false))
	}
	check(t, s.Headers(true, http2test.F("x-sum", "42")))
	if got := must(s.Body())(t); string(got) != "true 42" {
		t.Errorf("got %q", got)
	}
}

//enforces:http2 retry.body.maxBytes
func TestRule18_ALargeBodyIsNotSentAgainOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Retry.Idempotency, s.Retry.BodyMaxBytes = policy.AnyMethod, 4<<10
	}), func(_ int, s *http2test.Stream) {
		_, _ = s.Body()
		_ = s.Respond(503, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Post("up.example", "/", make([]byte, 16<<10), nil))(t)
	if status, _ := statusOf(t, s); status != "503" {
		t.Errorf("status %s", status)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision.String() != "body" || e.Outcome.Attempts != 1 {
		t.Errorf("outcome %+v", e.Outcome)
	}
	if n := w.server.ReplayMemory().Used(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

// The upload goes on behind an early response, as long as the server wants it.
func TestRule20_AnEarlyResponseDoesNotEndTheRequestOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		_ = s.Headers(true, http2test.F(":status", "200"))
		_, _ = s.Body()
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
	statusOf(t, s)
	must(s.Body())(t)
	check(t, s.Data(make([]byte, 1<<20), true))
	if e := w.seen.lastCall(t); e.Outcome.Truncated || e.Outcome.Status != 200 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// RST_STREAM with NO_ERROR behind a complete response tells the client to stop (RFC 9113 section 8.1).
func TestRule20_AServerThatWantsNoMoreOfTheRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		status    string
		truncated bool
	}{"a success": {"200", true}, "a refusal": {"413", false}} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
				_ = s.Headers(false, http2test.F(":status", tc.status))
				_ = s.Data([]byte("enough"), true)
				_ = s.Reset(http2.ErrCodeNo)
			})
			c := w.dialH2(http2test.Options{})
			s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
			if status, _ := statusOf(t, s); status != tc.status {
				t.Errorf("status %s", status)
			}
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeNo {
				t.Errorf("reset %v, %v", code, err)
			}
			if body, _ := s.Body(); string(body) != "enough" {
				t.Errorf("got %q", body)
			}
			e := w.seen.lastCall(t)
			if e.Outcome.Truncated != tc.truncated || tc.truncated && e.Detail != routes.DetailUploadCut {
				t.Errorf("outcome %+v, %s", e.Outcome, e.Detail)
			}
		})
	}
}

// A response that breaks off is not taken for a complete one.
func TestAResponseThatBreaksOffIsReset(t *testing.T) {
	for name, breakOff := range map[string]func(s *http2test.Stream){
		"reset":      func(s *http2test.Stream) { _ = s.Reset(http2.ErrCodeInternal) },
		"connection": func(s *http2test.Stream) { s.Conn.Abort() },
		"closed":     func(s *http2test.Stream) { s.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(everything), func(_ int, s *http2test.Stream) {
				_ = s.Headers(false, http2test.F(":status", "200"))
				_ = s.Data([]byte("half"), false)
				_ = s.Conn.Ping() // it is there
				breakOff(s)
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			statusOf(t, s)
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeInternal {
				t.Errorf("reset %v, %v", code, err)
			}
			if e := w.seen.lastCall(t); !e.Outcome.Truncated {
				t.Errorf("outcome %+v", e.Outcome)
			}
		})
	}
}

func TestAThousandStreamsAtATime(t *testing.T) {
	all := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1000)
	go func() { wg.Wait(); close(all) }()
	w := build(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) {
		wg.Done()
		<-all
		_, _ = io.Copy(rw, q.Body)
	}), toAnyH2(everythingSlow))
	c := w.dialH2(http2test.Options{})
	var streams []*http2test.Stream
	for i := range 1000 {
		streams = append(streams, must(c.Post("up.example", "/", fmt.Appendf(nil, "stream %d", i), nil))(t))
	}
	for i, s := range streams {
		if body := must(s.Body())(t); string(body) != fmt.Sprintf("stream %d", i) {
			t.Fatalf("stream %d: got %q", i, body)
		}
	}
	if n := w.dialer.dials.Load(); n < 10 || n > 20 {
		t.Errorf("%d connections for 1,000 streams of which 100 share one", n)
	}
}

// everythingSlow is everything, but in time for a busy machine, and with room for a thousand calls at a time however long they take.
func everythingSlow(s *policy.Settings) {
	everything(s)
	s.Timeouts.PerTry, s.Timeouts.Overall = patience, 2*patience
	s.Concurrency.Adaptive, s.Concurrency.Max = nil, 1000
}

// Many bodies in both directions at a time come out as they went in.
func TestBodiesAreNotMixedUpOverHTTP2(t *testing.T) {
	w := build(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) { _, _ = io.Copy(rw, q.Body) }), toAnyH2(everythingSlow))
	c := w.clientH2()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			body := bytes.Repeat(fmt.Appendf(nil, "%d.", i), 100_000+i*1000)
			res, err := c.Post("http://up.example/", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			h := sha256.New()
			if _, err := io.Copy(h, res.Body); err != nil {
				t.Error(err)
			}
			if want := sha256.Sum256(body); !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("body %d came as another one", i)
			}
		})
	}
	wg.Wait()
}

//enforces:http2 timeouts.idle timeouts.read timeouts.maxDuration
func TestTimeoutsOfBodiesOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(*policy.Settings)
		want routes.Detail
	}{
		"idle":        {func(s *policy.Settings) { s.Timeouts.Idle = 30 * time.Millisecond }, routes.DetailIdle},
		"read":        {func(s *policy.Settings) { s.Timeouts.Read = 30 * time.Millisecond }, routes.DetailRead},
		"maxDuration": {func(s *policy.Settings) { s.Timeouts.MaxDuration = 100 * time.Millisecond }, routes.DetailMaxDuration},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(tc.set), func(_ int, s *http2test.Stream) {
				_ = s.Headers(false, http2test.F(":status", "200"))
				_ = s.Data([]byte("half"), false)
				_, _ = s.AwaitReset()
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			statusOf(t, s)
			if _, err := s.AwaitReset(); err != nil {
				t.Error(err)
			}
			if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail != tc.want {
				t.Errorf("outcome %+v, %q", e.Outcome, e.Detail)
			}
		})
	}
}

// A server that opens a stream's window once gets all of what waits for it, though streams take turns.
func TestRule31_AWindowThatIsOpenedOnceIsUsed(t *testing.T) {
	const size = 200 << 10
	opened := make(chan int, 1)
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{HoldWindows: true},
		Conn:    func(c *http2test.Conn) { _ = c.GiveWindow(1 << 30) },
		Stream: func(s *http2test.Stream) {
			_, _ = s.Received(65535)
			_ = s.GiveWindow(1 << 20)
			body, _ := s.Body()
			opened <- len(body)
			_ = s.Respond(200, nil, nil)
		},
	})
	w := buildH2(t, srv.Addr(), toAnyH2(nil))
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", make([]byte, size), nil))(t)
	if status, _ := statusOf(t, s); status != "200" {
		t.Errorf("status %s", status)
	}
	if n := <-opened; n != size {
		t.Errorf("%d bytes came", n)
	}
}
