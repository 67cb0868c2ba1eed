package proxy

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule25_AWaiterThatLeavesGivesItsPlaceBack(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 1 {
			close(arrived)
			<-release
		}
		p.ok("done")
	})), toAny(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, patience
	}))
	first := w.dial()
	first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	second := w.dial()
	second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	waiting := func() (waiting int) {
		w.store.Stats(time.Now(), func(s routes.Stats) { waiting += s.Pool.Waiting })
		return waiting
	}
	poll(t, func() bool { return waiting() == 1 })
	second.Close()
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || waiting() != 0 {
		t.Errorf("outcome %+v, %d waiting", e.Outcome, waiting())
	}
	third := w.dial()
	third.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	close(release)
	if _, body := third.response("GET"); body != "done" {
		t.Fatalf("got %q", body)
	}
	if n.Load() != 2 {
		t.Errorf("%d requests arrived, want 2", n.Load())
	}
}

func TestRule25_PoolOverflowIsRejected(t *testing.T) {
	release := make(chan struct{})
	var busy sync.WaitGroup
	busy.Add(1)
	w := build(t, serve(t, toEach(func(p *peer) {
		busy.Done()
		<-release
		p.ok("late")
		release = nil
	})), toAny(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, 100*time.Millisecond
	}))
	first := w.dial()
	first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	busy.Wait()
	second := w.dial() // waits, in vain
	second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	begin := time.Now()
	if res, _ := second.response("GET"); res.StatusCode != 503 || res.Header.Get("fairlead-reason") != "pool_overflow" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	if took := time.Since(begin); took < 80*time.Millisecond {
		t.Errorf("did not wait: %v", took)
	}
	close(release)
	if _, body := first.response("GET"); body != "late" {
		t.Fatalf("got %q", body)
	}
}

//overtls:originate,intercept
func TestRule26_AnOpenBreakerRejectsLocally(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(500, "broken"))), toAny(func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 3
		s.Breaker = &b
	}))
	c := w.dial()
	for range 3 {
		if res, _ := c.get("/"); res.StatusCode != 500 {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	for range 2 {
		res, body := c.get("/")
		if res.StatusCode != 503 || res.Header.Get("fairlead-reason") != "circuit_open" || body != "fairlead: circuit_open\n" {
			t.Fatalf("got %d %v %q", res.StatusCode, res.Header, body)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d requests arrived", n.Load())
	}
}

//overtls:originate,intercept
func TestRule26_L4FailuresAreResets(t *testing.T) {
	b := toAny(nil)
	b.To.Protocol = policy.ProtocolTCP
	w := build(t, closedAddress(t), b)
	c, err := net.Dial("tcp", w.captured.Addr().String())
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
}
