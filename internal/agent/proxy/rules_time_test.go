package proxy

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule01_TheOverallDeadlineCoversAttemptsAndBackoff(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		_, _, _ = p.request() // says nothing until the connection goes
	}), toAny(func(s *policy.Settings) { s.Timeouts.Overall = 150 * time.Millisecond }))
	begin := time.Now()
	res, body := w.dial().get("/")
	if res.StatusCode != 504 || res.Header.Get("fairlead-reason") != "deadline" || !strings.Contains(body, "deadline") {
		t.Fatalf("got %d %v %q", res.StatusCode, res.Header, body)
	}
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestRule02_PerTryEndsAtTheHeadNotTheBody(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
		tick := time.NewTimer(600 * time.Millisecond)
		defer tick.Stop()
		<-tick.C
		p.send("def")
		p.request()
	}), toAny(func(s *policy.Settings) { s.Timeouts.PerTry = 400 * time.Millisecond }))
	if _, body := w.dial().get("/"); body != "abcdef" {
		t.Fatalf("got %q", body)
	}
}

//enforces:http1 retry.when timeouts.perTry
func TestRule02_ASlowAttemptIsRetriedElsewhere(t *testing.T) {
	var attempts atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if attempts.Add(1) == 1 {
			return // no answer: the next read sees the connection go
		}
		p.ok("second")
	})), toAny(func(s *policy.Settings) {
		s.Timeouts.PerTry = 300 * time.Millisecond
		s.Retry.On = policy.Of(policy.PerTryTimeout)
	}))
	if _, body := w.dial().get("/"); body != "second" {
		t.Fatalf("got %q", body)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.Recovered || e.Outcome.Attempts != 2 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// Neither the wait nor what is left of the deadline is waited for: both are longer than the test.
func TestRule03_NoWaitThatPassesTheDeadline(t *testing.T) {
	w := build(t, serve(t, toEach(func(p *peer) { p.send("HTTP/1.1 503 Busy\r\nRetry-After: 7200\r\nContent-Length: 4\r\n\r\nbusy") })), toAny(func(s *policy.Settings) {
		s.Timeouts.Overall = time.Hour
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Retry.RetryAfter.Max = 3 * time.Hour
	}))
	res, body := w.dial().get("/")
	if res.StatusCode != 503 || body != "busy" || res.Header.Get("fairlead-reason") != "" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByDeadline || e.Outcome.Attempts != 1 {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

func TestRule04_ADepartedClientIsNoticedWhileWaiting(t *testing.T) {
	gone := make(chan struct{})
	var began = make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		close(began)
		_, _ = p.r.ReadByte() // until the attempt is cancelled
		close(gone)
	}), toAny(nil))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-began
	c.Close()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the attempt was not cancelled")
	}
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || e.Outcome.Decision != call.Abandoned {
		t.Errorf("outcome %+v", e.Outcome)
	}
}
