package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// panicking makes one call that meets a mistake of ours, and reads what comes of it.
func (w *testProxy) panicking() {
	w.t.Helper()
	w.events.expectPanic.Store(true)
	w.seen.panics.Store(true)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = io.ReadAll(c.r) // ends somehow
	w.seen.panics.Store(false)
}

func TestAPanicEndsOnlyItsConnection(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	w.panicking()
	if _, body := w.dial().get("/"); body != "GET / " {
		t.Fatalf("got %q", body)
	}
	if w.events.panics.Load() != 1 {
		t.Errorf("%d panics were counted", w.events.panics.Load())
	}
}

// What others wait for is given back: the one connection there may be, and the one probe of a breaker that is half-open.
func TestAPanicKeepsNothing(t *testing.T) {
	fails := make(chan bool, 1)
	fails <- true
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			select {
			case <-fails:
				p.send(answer(503, "bad"))
			default:
				p.ok("fine")
			}
		}
	}), toAny(func(s *policy.Settings) {
		s.Retry.MaxRetries, s.Timeouts.PerTry = 0, time.Hour // for as long a probe that does not end would keep others out
		s.Pool.MaxConnections, s.Pool.MaxPending = 1, 1      // a client may have its answer a moment before the connection is free again
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.Probes, b.OpenDuration, b.OpenMaxDuration = 1, 1, time.Nanosecond, time.Hour
		s.Breaker = &b
	}))
	if res, _ := w.dial().get("/"); res.StatusCode != 503 { // opens the breaker, at once half-open
		t.Fatalf("got %d", res.StatusCode)
	}
	w.panicking()
	w.waitFor(t, func() bool { return w.events.panics.Load() == 1 && w.server.Connections() <= 1 })
	if res, body := w.dial().get("/"); body != "fine" {
		t.Fatalf("got %d %q, reason %q", res.StatusCode, body, res.Header.Get("fairlead-reason"))
	}
}

// So is the account of a body that was kept for another attempt.
func TestAPanicKeepsNoReplayMemory(t *testing.T) {
	w := build(t, serve(t, echo), toAny(retryOn(policy.GatewayError)))
	w.events.expectPanic.Store(true)
	w.seen.panics.Store(true)
	c := w.dial()
	c.beginUpload(30_000)
	poll(t, func() bool {
		c.send("x")
		return w.server.ReplayMemory().Used() > 0
	})
	_, _ = io.CopyN(c, zeros{}, 30_000) // the rest, and more
	_, _ = io.ReadAll(c.r)              // ends somehow
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	if n := w.server.ReplayMemory().Used(); n != 0 || w.events.panics.Load() != 1 {
		t.Errorf("%d bytes are still held after %d panics", n, w.events.panics.Load())
	}
}

// The place of a connection that is being made is given back too.
func TestAPanicInADialKeepsNoPlace(t *testing.T) {
	w := build(t, serve(t, echo), toAny(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, patience/2
	}))
	w.events.expectPanic.Store(true)
	w.dialer.panics.Store(true)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = io.ReadAll(c.r)
	w.dialer.panics.Store(false)
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	if res, body := w.dial().get("/"); body != "GET / " {
		t.Errorf("got %d %q, reason %q", res.StatusCode, body, res.Header.Get("fairlead-reason"))
	}
}

func TestAPanicOfTheProbeIsTheSessionsOwn(t *testing.T) {
	w := buildWith(t, Options{sniffDelay: time.Nanosecond}, serve(t, echo), undeclared(nil))
	w.events.expectPanic.Store(true)
	w.dialer.panics.Store(true)
	if c, err := net.Dial("tcp", w.captured.Addr().String()); err == nil { // may be reset by then
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	w.dialer.panics.Store(false)
	if _, body := w.dial().get("/"); body != "GET / " {
		t.Fatalf("got %q", body)
	}
	if w.events.panics.Load() != 1 {
		t.Errorf("%d panics were counted", w.events.panics.Load())
	}
}
