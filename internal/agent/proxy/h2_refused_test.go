package proxy

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// refusals are the ways in which a server says that it has not processed a stream.
var refusals = map[string]func(s *http2test.Stream){
	"REFUSED_STREAM": func(s *http2test.Stream) { _ = s.Reset(http2.ErrCodeRefusedStream) },
	"GOAWAY":         func(s *http2test.Stream) { _ = s.Conn.GoAway(0, http2.ErrCodeNo) },
}

// A server that refuses every stream is asked as often as the policy says, whatever the method, and the client gets to know that its request was
// not processed: it may make it anew, as it would without a proxy.
//
//overtls:originate,intercept
func TestRule07_TheLastRefusalReachesTheClient(t *testing.T) {
	noBudget := policy.Budget{Window: 10 * time.Second}
	for name, tc := range map[string]struct {
		set      func(*policy.Retry)
		attempts int64
		decision call.RetryDecision
	}{
		"as often as written": {func(r *policy.Retry) { r.MaxRetries = 3 }, 4, call.Exhausted},
		"no budget":           {func(r *policy.Retry) { r.Budget = noBudget }, 1, call.ByBudget},
		"never":               {func(r *policy.Retry) { r.On = 0 }, 1, call.NotRetryable},
	} {
		for how, refuse := range refusals {
			t.Run(name+", "+how, func(t *testing.T) {
				var n atomic.Int64
				w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { tc.set(&s.Retry) }), func(_ int, s *http2test.Stream) {
					n.Add(1)
					refuse(s)
				})
				s := must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("hello"), nil))(t)
				if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeRefusedStream {
					t.Errorf("reset %v, %v", code, err)
				}
				if n.Load() != tc.attempts {
					t.Errorf("%d attempts, want %d", n.Load(), tc.attempts)
				}
				e := w.seen.lastCall(t)
				if o := e.Outcome; o.Kind != call.RefusedStream || o.Decision != tc.decision || o.Status != 0 || o.Attempts != int(tc.attempts) {
					t.Errorf("outcome %+v", o)
				}
			})
		}
	}
}

// Where an attempt before may have been processed, or the client has a part of an answer, a refusal of the last one does not make the call unprocessed.
//
//overtls:originate,intercept
func TestRule07_ARefusalBehindAnAttemptThatWasSentIsAnAnswer(t *testing.T) {
	for name, first := range map[string]func(s *http2test.Stream){
		"reset": func(s *http2test.Stream) { _ = s.Reset(http2.ErrCodeInternal) },
		"slow":  func(s *http2test.Stream) { _, _ = s.AwaitReset() },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
				s.Retry.On = policy.Of(policy.Reset, policy.RefusedStream, policy.PerTryTimeout)
				s.Timeouts.PerTry = 300 * time.Millisecond
			}), func(n int, s *http2test.Stream) {
				if n == 0 {
					first(s)
					return
				}
				_ = s.Reset(http2.ErrCodeRefusedStream)
			})
			s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
			if status, head := statusOf(t, s); status != "502" || head.Get("fairlead-reason") != "reset" {
				t.Errorf("got %v", head)
			}
			if o := w.seen.lastCall(t).Outcome; o.Kind != call.RefusedStream || o.Attempts != 3 {
				t.Errorf("outcome %+v", o)
			}
		})
	}
	t.Run("interim response", func(t *testing.T) {
		w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
			_ = s.Headers(false, http2test.F(":status", "103"))
			_ = s.Reset(http2.ErrCodeRefusedStream)
		})
		s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
		if status, head := statusOf(t, s); status != "502" {
			t.Errorf("got %v", head)
		}
	})
}

// A connection that was kept, and that its server leaves with the next stream unprocessed, is like one that was closed: it costs the call nothing,
// once.
func TestRule08_AConnectionThatItsServerLeavesCostsNothing(t *testing.T) {
	var n atomic.Int64
	w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		n.Add(1)
		if s.ID == 3 {
			_ = s.Conn.GoAway(1, http2.ErrCodeNo)
			return
		}
		body, _ := s.Body()
		_ = s.Respond(200, body, nil)
	})
	w.shopOf(policy.ProtocolHTTP2, func(s *policy.Settings) { s.Retry.MaxRetries, s.Retry.On = 0, 0 }, srv.Addr())
	c := w.dialH2(http2test.Options{})
	for range 2 {
		s := must(c.Post("up.example", "/", []byte("hello"), nil))(t)
		if status, head := statusOf(t, s); status != "200" {
			t.Fatalf("got %v", head)
		}
		if body := must(s.Body())(t); string(body) != "hello" {
			t.Errorf("got %q", body)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d attempts", n.Load())
	}
}

// Every connection is left with its second stream: what is free is so once for each call.
func TestRule08_LeftConnectionsAreRepairedOnce(t *testing.T) {
	var n atomic.Int64
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries, s.Retry.On = 0, 0 }), func(i int, s *http2test.Stream) {
		n.Add(1)
		if i == 0 {
			_ = s.Respond(200, nil, nil)
			return
		}
		_ = s.Conn.GoAway((s.ID-1)/2, http2.ErrCodeNo) // the stream before, if there was one
	})
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	if code, err := must(c.Post("up.example", "/", []byte("x"), nil))(t).AwaitReset(); err != nil || code != http2.ErrCodeRefusedStream {
		t.Errorf("reset %v, %v", code, err)
	}
	if n.Load() != 3 {
		t.Errorf("%d attempts, want the first call's, one and its repair", n.Load())
	}
}
