package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// expecting sends the head of a request whose client holds its body back.
func expecting(t *testing.T, c *http2test.Conn) *http2test.Stream {
	t.Helper()
	return must(c.Request(false, append(http2test.Head("POST", "up.example", "/"), http2test.F("expect", "100-continue", "content-length", "5")...)))(t)
}

// A response that is held while the call is tried again occupies nothing once it is complete, though the request on its stream will never be: the
// retry has the only stream there is.
func TestRule21_AHeldResponseLeavesItsStreamToTheRetry(t *testing.T) {
	codes := make(chan http2.ErrCode, 1)
	w, srv := scripted(t, toAnyH2(func(s *policy.Settings) {
		retryOn(policy.GatewayError)(s)
		s.Retry.Idempotency = policy.AnyMethod
		s.Pool.MaxConnections, s.Pool.MaxStreams, s.Pool.PendingTimeout = 1, 1, patience
	}), func(n int, s *http2test.Stream) {
		if n == 0 {
			_ = s.Respond(503, []byte("not yet"), nil)
			code, _ := s.AwaitReset()
			codes <- code
			return
		}
		_ = s.Headers(false, http2test.F(":status", "100"))
		body, _ := s.Body()
		_ = s.Respond(200, body, nil)
	})
	s := expecting(t, w.dialH2(http2test.Options{}))
	must(s.Interims(1))(t)
	check(t, s.Data([]byte("hello"), true))
	if status, head := statusOf(t, s); status != "200" {
		t.Fatalf("got %v", head)
	}
	if body := must(s.Body())(t); string(body) != "hello" {
		t.Errorf("got %q", body)
	}
	if code := <-codes; code != http2.ErrCodeCancel {
		t.Errorf("the stream of the response that was held was reset with %v", code)
	}
	if n := len(srv.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A held response that is complete occupies nothing, and is not lost to the retry that it makes room for: it answers the call where that fails.
func TestRule10_AHeldResponseOutlivesItsStream(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		retryOn(policy.GatewayError, policy.Reset)(s)
		s.Retry.MaxRetries = 1
		s.Pool.MaxConnections, s.Pool.MaxStreams, s.Pool.PendingTimeout = 1, 1, patience
	}), func(n int, s *http2test.Stream) {
		if n == 0 {
			_ = s.Respond(503, []byte("real"), nil)
			return
		}
		_ = s.Reset(http2.ErrCodeInternal)
	})
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	if status, head := statusOf(t, s); status != "503" || head.Has("fairlead-reason") {
		t.Errorf("got %v", head)
	}
	if body := must(s.Body())(t); string(body) != "real" {
		t.Errorf("got %q", body)
	}
}

// A held response that does not come to its end gives its stream up to the retry that needs it.
func TestRule10_AHeldResponseWithoutEndDoesNotHoldUpTheRetry(t *testing.T) {
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		retryOn(policy.GatewayError)(s)
		s.Pool.MaxConnections, s.Pool.MaxStreams, s.Pool.PendingTimeout = 1, 1, patience
	}), func(n int, s *http2test.Stream) {
		if n == 0 {
			_ = s.Headers(false, http2test.F(":status", "503"))
			_, _ = s.AwaitReset()
			return
		}
		_ = s.Respond(200, nil, nil)
	})
	if status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)); status != "200" {
		t.Errorf("got %v", head)
	}
}

// What the client has sent to a retry is not sent on to the server whose response was held, which has refused it.
func TestRule21_AHeldResponseThatIsForwardedGetsNoBody(t *testing.T) {
	type seen struct {
		received int64
		code     http2.ErrCode
	}
	first := make(chan seen, 1)
	release := newBarrier()
	defer release.now()
	w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
		retryOn(policy.GatewayError, policy.Reset)(s)
		s.Retry.Idempotency, s.Retry.MaxRetries = policy.AnyMethod, 1
	}), func(n int, s *http2test.Stream) {
		if n == 0 {
			_ = s.Headers(false, http2test.F(":status", "503"))
			<-release.C
			_ = s.Data([]byte("not yet"), true)
			code, _ := s.AwaitReset()
			received, _ := s.Received(0)
			first <- seen{received, code}
			return
		}
		_ = s.Headers(false, http2test.F(":status", "100"))
		_, _ = s.Received(5)
		_ = s.Reset(http2.ErrCodeInternal)
	})
	s := expecting(t, w.dialH2(http2test.Options{}))
	must(s.Interims(1))(t)
	check(t, s.Data([]byte("hello"), true))
	if status, head := statusOf(t, s); status != "503" {
		t.Fatalf("got %v", head)
	}
	release.now()
	if body := must(s.Body())(t); string(body) != "not yet" {
		t.Errorf("got %q", body)
	}
	if got := <-first; got.received != 0 || got.code != http2.ErrCodeCancel {
		t.Errorf("the first server got %d bytes and %v", got.received, got.code)
	}
	if o := w.seen.lastCall(t).Outcome; o.Decision != call.Exhausted || o.Attempts != 2 || o.Truncated {
		t.Errorf("outcome %+v", o)
	}
}

// A client whose expectation was answered with a refusal, and that gives up its request for that, has its answer.
func TestRule21_ARefusedExpectationIsNoTruncatedCall(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		_ = s.Respond(417, nil, nil)
		_, _ = s.AwaitReset()
	})
	s := expecting(t, w.dialH2(http2test.Options{}))
	if status, _ := statusOf(t, s); status != "417" {
		t.Errorf("status %s", status)
	}
	must(s.Body())(t)
	check(t, s.Reset(http2.ErrCodeCancel))
	if o := w.seen.lastCall(t).Outcome; o.Truncated || o.Status != 417 {
		t.Errorf("outcome %+v", o)
	}
}
