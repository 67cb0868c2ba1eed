package proxy

import (
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// A stream that the server says it has not processed is retried whatever the method.
//
//overtls:originate,intercept
func TestRule07_UnprocessedStreamsAreRetried(t *testing.T) {
	for name, refuse := range map[string]func(s *http2test.Stream){
		"refused":                  func(s *http2test.Stream) { _ = s.Reset(http2.ErrCodeRefusedStream) },
		"above the last of GOAWAY": func(s *http2test.Stream) { _ = s.Conn.GoAway(0, http2.ErrCodeNo) },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(retryOn(policy.RefusedStream)), func(n int, s *http2test.Stream) {
				if n == 0 {
					refuse(s)
					return
				}
				body, _ := s.Body()
				_ = s.Respond(200, body, nil)
			})
			c := w.dialH2(http2test.Options{})
			s := must(c.Post("up.example", "/", []byte("hello"), nil))(t)
			if status, _ := statusOf(t, s); status != "200" {
				t.Fatalf("status %s", status)
			}
			if body := must(s.Body())(t); string(body) != "hello" {
				t.Errorf("the body came as %q", body)
			}
			if e := w.seen.lastCall(t); e.Outcome.Decision != call.Recovered || e.Outcome.Attempts != 2 {
				t.Errorf("outcome %+v", e.Outcome)
			}
		})
	}
}

//overtls:originate,intercept
func TestRule07_ASentPOSTIsNotRetriedOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(retryOn(policy.Reset, policy.ResetBeforeRequest)), func(_ int, s *http2test.Stream) {
		_, _ = s.Body()
		_ = s.Reset(http2.ErrCodeInternal)
	})
	s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("hello"), nil))(t)
	if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != "reset" {
		t.Errorf("got %v", head)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByMethod || e.Outcome.Attempts != 1 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// A connection on which nothing comes any more is given up once for nothing.
func TestRule08_AStaleConnectionCostsNothingOverHTTP2(t *testing.T) {
	gone := make(chan struct{})
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }), func(n int, s *http2test.Stream) {
		if n == 1 {
			s.Conn.Abort()
			close(gone)
			return
		}
		_ = s.Respond(200, nil, nil)
	})
	b := w.dialH2(http2test.Options{})
	for range 2 {
		s := must(b.Get("up.example", "/", nil))(t)
		if status, head := statusOf(t, s); status != "200" {
			// the connection is pinned: its end is the client's too, but for the call under way
			t.Fatalf("got %v", head)
		}
	}
	<-gone
}

func TestRule09_ResponsesAreRetriedOverHTTP2(t *testing.T) {
	w, srv := scripted(t, toAnyH2(retryOn(policy.GatewayError)), func(n int, s *http2test.Stream) {
		status := 200
		if n < 2 {
			status = 503
		}
		_ = s.Respond(status, []byte("answer"), nil)
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if status, _ := statusOf(t, s); status != "200" {
		t.Errorf("status %s", status)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.Recovered || e.Outcome.Attempts != 3 {
		t.Errorf("outcome %+v", e.Outcome)
	}
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections, want 1: the responses that were held keep none", n)
	}
}

// After exhaustion the client gets the last real response, body and trailers included.
func TestRule10_TheLastRealResponseIsForwardedOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(retryOn(policy.GatewayError)), func(_ int, s *http2test.Stream) {
		_ = s.Headers(false, http2test.F(":status", "503", "x-server", "real"))
		_ = s.Data([]byte("sorry"), false)
		_ = s.Headers(true, http2test.F("x-trailer", "t"))
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	status, head := statusOf(t, s)
	body := must(s.Body())(t)
	trailers := must(s.Trailers())(t)
	if status != "503" || head.Get("x-server") != "real" || string(body) != "sorry" || trailers.Get("x-trailer") != "t" {
		t.Errorf("got %v %q %v", head, body, trailers)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.Exhausted || e.Outcome.Attempts != 3 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

func TestRule11_NothingIsRetriedAfterAForwardedInterimResponse(t *testing.T) {
	w, _ := scripted(t, toAnyH2(retryOn(policy.Reset)), func(_ int, s *http2test.Stream) {
		_ = s.Headers(false, http2test.F(":status", "103", "link", "</a>"))
		_ = s.Reset(http2.ErrCodeInternal)
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if status, _ := statusOf(t, s); status != "502" {
		t.Errorf("status %s", status)
	}
	interims := must(s.Interims(1))(t)
	if interims[0].Get(":status") != "103" || interims[0].Get("link") != "</a>" {
		t.Errorf("interim %v", interims)
	}
	if e := w.seen.lastCall(t); e.Outcome.Attempts != 1 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

//enforces:http2 timeouts.perTry
func TestRule02_ASlowAttemptIsRetriedOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		s.Timeouts.PerTry = 300 * time.Millisecond
		s.Retry.On = policy.Of(policy.PerTryTimeout)
	}), func(n int, s *http2test.Stream) {
		if n == 0 {
			if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeCancel {
				t.Errorf("the slow attempt was not cancelled: %v %v", code, err)
			}
			return
		}
		_ = s.Respond(200, nil, nil)
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if status, _ := statusOf(t, s); status != "200" {
		t.Errorf("status %s", status)
	}
}

//enforces:http2 timeouts.overall
func TestRule01_TheDeadlineHoldsOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { s.Timeouts.Overall = 30 * time.Millisecond }), func(_ int, s *http2test.Stream) {
		_, _ = s.AwaitReset()
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if status, head := statusOf(t, s); status != "504" || head.Get("fairlead-reason") != "deadline" {
		t.Errorf("got %v", head)
	}
}

// A client that cancels a stream cancels the attempt, and it is no failure of the server's.
func TestRule04_ACancelledStreamIsCancelledUpstream(t *testing.T) {
	arrived, cancelled := make(chan struct{}), make(chan http2.ErrCode, 1)
	w, _ := scripted(t, toAnyH2(everything), func(_ int, s *http2test.Stream) {
		close(arrived)
		code, _ := s.AwaitReset()
		cancelled <- code
	})
	c := w.dialH2(http2test.Options{})
	s := must(c.Get("up.example", "/", nil))(t)
	<-arrived
	check(t, s.Reset(http2.ErrCodeCancel))
	if code := <-cancelled; code != http2.ErrCodeCancel {
		t.Errorf("code %v", code)
	}
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || e.Outcome.Decision != call.Abandoned {
		t.Errorf("outcome %+v", e.Outcome)
	}
	check(t, c.Ping()) // the connection goes on
}

func TestRule04_AClientThatLeavesCancelsAllItsStreams(t *testing.T) {
	arrived, cancelled := make(chan struct{}, 3), make(chan http2.ErrCode, 3)
	w, _ := scripted(t, toAnyH2(everything), func(_ int, s *http2test.Stream) {
		arrived <- struct{}{}
		code, _ := s.AwaitReset()
		cancelled <- code
	})
	c := w.dialH2(http2test.Options{})
	for range 3 {
		must(c.Get("up.example", "/", nil))(t)
		<-arrived
	}
	c.Abort()
	for range 3 {
		if code := <-cancelled; code != http2.ErrCodeCancel {
			t.Errorf("code %v", code)
		}
	}
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
}

func TestRule12_ConnectFailuresAreAnsweredOverHTTP2(t *testing.T) {
	w := build(t, closedAddress(t), toAnyH2(retryOn(policy.ConnectFailure)))
	c := w.dialH2(http2test.Options{})
	s := must(c.Post("up.example", "/", []byte("hi"), nil))(t)
	status, head := statusOf(t, s)
	body := must(s.Body())(t)
	if status != "502" || head.Get("fairlead-reason") != "connect_failure" || string(body) != "fairlead: connect_failure\n" {
		t.Errorf("got %v %q", head, body)
	}
	if n := w.dialer.dials.Load(); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
	if g, err := c.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeNo { // the client chose the address
		t.Errorf("goaway %+v, %v", g, err)
	}
}

//enforces:http2 circuitBreaker.consecutiveFailures
func TestRule22_AnOpenBreakerRejectsOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 2
		s.Breaker = &b
	}), func(_ int, s *http2test.Stream) { _ = s.Respond(500, nil, nil) })
	c := w.dialH2(http2test.Options{})
	for i := range 4 {
		s := must(c.Get("up.example", "/", nil))(t)
		status, head := statusOf(t, s)
		if want := map[bool]string{true: "500", false: "503"}[i < 2]; status != want {
			t.Errorf("call %d: got %v", i, head)
		}
		if i >= 2 && head.Get("fairlead-reason") != "circuit_open" {
			t.Errorf("call %d: got %v", i, head)
		}
	}
}
