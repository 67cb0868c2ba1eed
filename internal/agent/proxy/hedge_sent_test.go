package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// A body that is sent again is on its way, too: the attempt belongs to what sends it, and gets no other beside it.
func TestRule17_ARetryIsNotHedgedWhileItIsSent(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		switch n.Add(1) {
		case 1:
			p.request()
			p.send(answer(503, ""))
			return
		case 2:
			waitFor("/100") // and takes nothing meanwhile
			if n.Load() != 2 {
				t.Errorf("%d attempts have come", n.Load())
			}
		}
		if _, body, ok := p.request(); ok {
			p.send(answer(200, strconv.Itoa(len(body))))
		}
	}), toAny(hedges(afterDelay(1), func(s *policy.Settings) {
		s.Retry.BodyMaxBytes, s.Retry.On = 8<<20, policy.Of(policy.ServerError)
	})))
	w.dialer.narrow.Store(true)
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(len(large)) + "\r\n\r\n" + large)
	if res, body := c.response("PUT"); res.StatusCode != 200 || body != strconv.Itoa(len(large)) {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// The delay may have passed before there is a connection to send the request on: both get it, each from its own goroutine. Run with -race.
func TestRule17_TheRequestIsSentBeforeAHedge(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		if n.Add(1) > 1 {
			p.ok("hedge")
		}
		_, _ = p.r.ReadByte()
	}), toAny(hedges(afterDelay(1))))
	w.dialer.slow.Store(int64(2 * hedgeDelay))
	if _, body := w.dial().get("/"); body != "hedge" {
		t.Errorf("got %q", body)
	}
}

// A hedge whose time is up while it is being connected fails as any attempt does.
func TestRule02_AHedgeThatIsNotConnectedInTime(t *testing.T) {
	t.Parallel() // it waits
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		n.Add(1)
		_, _ = p.r.ReadByte()
	}), toAny(hedges(afterDelay(1), func(s *policy.Settings) { s.Retry.On, s.Timeouts.PerTry = 0, 20*hedgeDelay })))
	c := w.dial()
	w.dialer.fast.Store(1)
	w.dialer.slow.Store(int64(time.Minute))
	c.send(aGET)
	if res, _ := c.response("GET"); res.StatusCode != http.StatusGatewayTimeout || n.Load() != 1 {
		t.Errorf("got %d, of %d requests", res.StatusCode, n.Load())
	}
	e := w.seen.lastCall(t)
	if len(e.Attempts) != 2 || e.Outcome.Attempts != 2 {
		t.Fatalf("%+v, outcome %+v", e.Attempts, e.Outcome)
	}
	for _, at := range e.Attempts {
		if at.Kind != call.AttemptTimeout || at.Detail != routes.DetailPerTry {
			t.Errorf("an attempt has ended as %v (%v)", at.Kind, at.Detail)
		}
	}
}

// A hedge that waits for addresses may be all that is left of a call, and find none.
func TestRule17_TheLastHedgeFindsNoPlace(t *testing.T) {
	t.Parallel() // it waits
	failed := newBarrier()
	defer failed.now()
	srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		<-failed.C
		_ = s.Reset(xhttp2.ErrCodeInternal)
	}})
	w := buildNamed(t, srv.Addr(), toHost("up.example", hedges(afterDelay(1), func(s *policy.Settings) { s.Retry.On, s.Timeouts.PerTry = 0, 30*hedgeDelay })))
	w.dialer.at.Store(w.original, srv.Addr())
	w.names.stop()
	s := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	poll(t, func() bool { return len(w.names.questions()) > 0 })
	failed.now()
	w.seen.awaitAttempts(t, 1)
	if status, head := statusOf(t, s); status != "502" {
		t.Errorf("got %v", head)
	}
	if o := w.seen.lastCall(t).Outcome; o.Kind != call.Reset || o.Hedges != 0 || o.Attempts != 1 {
		t.Errorf("outcome %+v", o)
	}
}

// Each hedge is idle from its own beginning on.
func TestRule02_AHedgeIsNotIdleFromItsBeginning(t *testing.T) {
	t.Parallel() // it waits
	const idle = 600 * time.Millisecond
	w, _ := scripted(t, toAnyH2(hedges(policy.Hedging{Max: 1, Delay: idle - 5*hedgeDelay}, func(s *policy.Settings) {
		s.Retry.On, s.Timeouts.Idle = 0, idle
	})), func(n int, s *http2test.Stream) {
		if n == 1 {
			waitFor("/200")
			_ = s.Respond(200, nil, nil)
			return
		}
		_, _ = s.AwaitReset()
	})
	s := must(w.dialH2(http2test.Options{}).Get("a", "/", nil))(t)
	if status, head := statusOf(t, s); status != "200" {
		t.Errorf("got %v", head)
	}
}
