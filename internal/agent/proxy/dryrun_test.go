package proxy

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	rpc "google.golang.org/grpc/interop/grpc_testing"

	"google.golang.org/grpc/codes"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// dry makes a binding one of a dry run.
func dry(b policy.Binding) policy.Binding {
	b.Mode, b.Key, b.Policy.Name = policy.ModeDryRun, "dry", "dry"
	return b
}

// asksMuch asks for much at once.
func asksMuch(s *policy.Settings) {
	retryOn(policy.ServerError, policy.Reset, policy.ConnectFailure)(s)
	s.Retry.Idempotency, s.Retry.GenerateKey, s.Retry.MaxRetries = policy.AnyMethod, true, 3
	guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })(s)
	s.Fallback = &policy.Fallback{
		On: policy.FallbackOn{RetriesExhausted: true, CircuitOpen: true}, Response: &policy.FallbackResponse{Status: 200, Body: "made up"},
	}
}

// wouldHave waits until dry runs would have done something with so many calls.
func (o *fakeRecorder) wouldHave(t testing.TB, what call.Would, calls int64) {
	t.Helper()
	o.waitFor(t, func() bool { return o.would[what].Load() == calls })
}

// Nothing is repeated, rejected or made up; what would have been is reported.
func TestDryRun_HTTP1CallsPassUnchanged(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(503, "down"))), dry(toAny(asksMuch)))
	c := w.dial()
	for i := range 3 {
		if res, body := c.get("/"); res.StatusCode != 503 || body != "down" || res.Header.Get("fairlead-reason") != "" {
			t.Errorf("call %d got %d %q %v", i, res.StatusCode, body, res.Header)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d calls at the upstream", n.Load())
	}
	w.seen.wouldHave(t, call.WouldRetry, 2)
	w.seen.wouldHave(t, call.WouldReject, 1)
	w.seen.await(t, 3)
	if e := w.seen.lastCall(t); !e.DryRun.Looked || e.DryRun.Policy.Name != "dry" || e.Outcome.Attempts != 1 {
		t.Errorf("reported as %+v", e)
	}
}

// The bytes of a request and of its response are those that were sent.
func TestDryRun_HTTP1BytesAreTheSame(t *testing.T) {
	const request = "POST /a?b HTTP/1.1\r\nhOST: a.example\r\nX-A: 1\r\nx-a:  2\r\ncontent-length: 5\r\n\r\nhello"
	const response = "HTTP/1.1 503 Oh No\r\nX-B:  1\r\nx-b: 2\r\ncontent-length: 4\r\nretry-after: 1\r\n\r\ndown"
	got := make(chan string, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		b := make([]byte, len(request))
		for n := 0; n < len(b); {
			more, err := p.r.Read(b[n:])
			if n += more; err != nil {
				break
			}
		}
		got <- string(b)
		p.send(response)
	}), dry(toAny(asksMuch)))
	c := w.dial()
	c.send(request)
	b := make([]byte, len(response))
	for n := 0; n < len(b); {
		more, err := c.r.Read(b[n:])
		if n += more; err != nil {
			t.Fatal(err)
		}
	}
	if s := <-got; s != request {
		t.Errorf("the server got %q", s)
	}
	if string(b) != response {
		t.Errorf("the client got %q", b)
	}
	w.seen.wouldHave(t, call.WouldRetry, 1)
}

// A connection that ends without an answer is not made good.
func TestDryRun_HTTP1ResetsArePassedOn(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			n.Add(1)
		}
	}), dry(toAny(asksMuch)))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	if res, _ := c.response(http.MethodPost); res.StatusCode != 502 || n.Load() != 1 {
		t.Errorf("got %d after %d calls at the upstream", res.StatusCode, n.Load())
	}
	w.seen.wouldHave(t, call.WouldRetry, 1)
}

func TestDryRun_TimeoutsAreOnlyNoted(t *testing.T) {
	w := build(t, serve(t, echo), dry(toAny(func(s *policy.Settings) { s.Timeouts.Overall = time.Nanosecond })))
	if res, _ := w.dial().get("/"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
	w.seen.wouldHave(t, call.WouldTimeOut, 1)
}

// What is enforced is, and what a dry run would change of it is reported.
func TestDryRun_BesideWhatIsEnforced(t *testing.T) {
	var n atomic.Int64
	enforced := toAny(func(s *policy.Settings) { retryOn(policy.ServerError)(s); s.Retry.MaxRetries = 1 })
	w := build(t, counted(t, &n, always(answer(503, "down"))), enforced, dry(toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 })))
	if res, _ := w.dial().get("/"); res.StatusCode != 503 || n.Load() != 2 {
		t.Errorf("got %d after %d calls at the upstream", res.StatusCode, n.Load())
	}
	w.seen.wouldHave(t, call.WouldNotRetry, 1)
}

// A limit that both have decides for both: nothing would change.
func TestDryRun_WhatIsTheSameChangesNothing(t *testing.T) {
	both := func(s *policy.Settings) {
		limited(perHour(1))(s)
		guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })(s)
	}
	w := build(t, serve(t, echo), toAny(both), dry(toAny(func(s *policy.Settings) { both(s); s.Retry.MaxRetries = 5 })))
	c := w.dial()
	c.get("/")
	if res, _ := c.get("/"); res.StatusCode != 429 {
		t.Errorf("got %d", res.StatusCode)
	}
	w.seen.wouldHave(t, call.WouldSame, 2)
}

func TestDryRun_HTTP2CallsPassUnchanged(t *testing.T) {
	var n atomic.Int64
	w := buildH2(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) {
		n.Add(1)
		if q.Header.Get("Idempotency-Key") != "" {
			t.Error("a key was added")
		}
		_, _ = io.Copy(io.Discard, q.Body) // an answer before that ends retrying
		rw.WriteHeader(503)
		_, _ = rw.Write([]byte("down"))
	}), dry(toAnyH2(asksMuch)))
	c := w.clientH2()
	for i := range 3 {
		if res, body := do(t, c, http.MethodPost, "/", "hello"); res.StatusCode != 503 || body != "down" {
			t.Errorf("call %d got %d %q", i, res.StatusCode, body)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d calls at the upstream", n.Load())
	}
	w.seen.wouldHave(t, call.WouldRetry, 2)
	w.seen.wouldHave(t, call.WouldReject, 1)
}

func TestDryRun_GRPCCallsPassUnchanged(t *testing.T) {
	s := unaryServer(func(context.Context, int) error { return rpcstatus.Error(codes.Unavailable, "down") })
	b := toRPC(func(s *policy.Settings) {
		retryStatuses(unavailable)(s)
		limited(perHour(2))(s)
	})
	w := buildH2(t, serveRPC(t, s), dry(b))
	c := w.clientRPC()
	for range 3 {
		if _, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{}); rpcstatus.Convert(err).Message() != "down" {
			t.Errorf("got %v", err)
		}
	}
	if n := s.calls.Load(); n != 3 {
		t.Errorf("%d calls at the server", n)
	}
	w.seen.wouldHave(t, call.WouldRetry, 2)
	w.seen.wouldHave(t, call.WouldLimit, 1)
}

func TestDryRun_ConnectionsPassUnchanged(t *testing.T) {
	w := build(t, serve(t, copying), dry(declaredTCP(limited(perHour(1)))))
	for range 2 {
		if reached, _ := w.reaches(); !reached {
			t.Error("a connection was reset")
		}
	}
	w.seen.wouldHave(t, call.WouldLimit, 1)
}

// An edit of the mode puts the policy in force for the calls from then on, with nothing of what the dry run has counted.
func TestDryRun_EndsWithAnEdit(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(503, "down"))), dry(toAny(asksMuch)))
	c := w.dial()
	for range 3 {
		c.get("/")
	}
	b := dry(toAny(asksMuch))
	b.Mode = policy.ModeEnforce
	w.install(b)
	if res, body := c.get("/"); res.StatusCode != 200 || body != "made up" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	if n.Load() <= 4 {
		t.Errorf("%d calls at the upstream", n.Load())
	}
}
