package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// brokenConn returns a connection that its server has reset already.
func brokenConn() (*net.TCPConn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	s, err := l.Accept()
	if err != nil {
		return nil, err
	}
	err = s.(*net.TCPConn).SetLinger(0)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for closed := false; !closed; <-again.C {
		cerr := raw.Control(func(fd uintptr) {
			var info *unix.TCPInfo
			info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			closed = err == nil && info.State == unix.BPF_TCP_CLOSE
		})
		if err := errors.Join(err, cerr); err != nil {
			return nil, err
		}
	}
	return c.(*net.TCPConn), nil
}

// Only bytes that the kernel accepted mean that a request was sent, whatever else is waited for.
func TestRule07_AnUnsentPOSTIsRetriedWhateverIsTimed(t *testing.T) {
	for name, limit := range map[string]func(*policy.Settings){
		"nothing":        func(*policy.Settings) {},
		"responseHeader": func(s *policy.Settings) { s.Timeouts.ResponseHeader = patience },
		"perTry":         func(s *policy.Settings) { s.Timeouts.PerTry = patience },
	} {
		for kind, send := range map[string]func(*client){
			"at once":  func(c *client) { c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi") },
			"streamed": func(c *client) { c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nh") },
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := build(t, serve(t, echo), toAny(func(s *policy.Settings) {
					limit(s)
					s.Retry.On = policy.Of(policy.ResetBeforeRequest)
				}))
				w.dialer.broken.Store(1)
				c := w.dial()
				send(c)
				if kind == "streamed" {
					w.waitFor(t, func() bool { return w.dialer.dials.Load() == 2 }) // of the retry
					c.send("i\r\n0\r\n\r\n")
				}
				if res, body := c.response("POST"); res.StatusCode != 200 || body != "POST / hi" {
					t.Fatalf("got %d %q", res.StatusCode, body)
				}
				if e := w.seen.lastCall(t); e.Outcome.Decision != call.Recovered || len(e.Attempts) != 2 {
					t.Errorf("outcome %+v, attempts %+v", e.Outcome, e.Attempts)
				}
			})
		}
	}
}

// A kept response came on a connection whose announced body was never sent: the server would take the next request for it.
func TestRule29_AConnectionThatWaitsForABodyIsNotReused(t *testing.T) {
	const size = 30_000 // fits what is kept
	var n atomic.Int64
	after := make(chan string, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		body := make([]byte, 50)
		switch n.Add(1) {
		case 1: // refuses without 100, keeps the connection, and reads on for the body that was announced
			p.send(answer(503, strings.Repeat("x", size)))
			m, _ := io.ReadFull(p.r, body)
			after <- string(body[:m])
		case 2: // takes the body, then breaks
			p.send("HTTP/1.1 100 Continue\r\n\r\n")
			_, _ = io.ReadFull(p.r, body)
			_ = p.SetLinger(0)
		default:
			p.ok("fresh")
		}
	}), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError, policy.Reset), 1
	}))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n")
	if res, _ := c.response("PUT"); res.StatusCode != 100 {
		t.Fatalf("got %d", res.StatusCode)
	}
	c.send(strings.Repeat("b", 50))
	if res, got := c.response("PUT"); res.StatusCode != 503 || len(got) != size {
		t.Fatalf("got %d and %d bytes", res.StatusCode, len(got))
	}
	if _, body := w.dial().get("/innocent"); body != "fresh" {
		t.Fatalf("got %q", body)
	}
	if got := <-after; got != "" {
		t.Errorf("another client's %q arrived as the body", got)
	}
}

// No attempt starts for a client that has gone, however short the waits between them are.
func TestRule04_NoAttemptStartsForADepartedClient(t *testing.T) {
	for name, backoff := range map[string]time.Duration{"at once": 0, "after a while": 5 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			left := make(chan struct{})
			w := build(t, serve(t, toEach(func(p *peer) {
				if requests.Add(1) == 1 {
					<-left
				}
				p.send(answer(503, ""))
			})), toAny(func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 10
				s.Retry.Backoff.Initial, s.Retry.Backoff.Max = backoff, backoff
				s.Retry.Backoff.Jitter = policy.JitterNone
			}))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
			poll(t, func() bool { return requests.Load() == 1 })
			_ = c.SetLinger(0)
			_ = c.Close()
			close(left)
			if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || e.Outcome.Decision != call.Abandoned {
				t.Errorf("outcome %+v", e.Outcome)
			}
			if got := requests.Load(); got != 1 {
				t.Errorf("%d requests arrived, want 1", got)
			}
		})
	}
}

// Callers that give up before any timeout of the policy show that the upstream is slow.
func TestRule04_CallsGivenUpOpenTheBreaker(t *testing.T) {
	arrived := make(chan struct{}, 10)
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			arrived <- struct{}{}
			_, _ = p.r.ReadByte() // says nothing until the connection goes
		}
	}), toAny(func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 0
		b.SlowCalls = &policy.SlowCalls{Threshold: time.Nanosecond, Percent: 100, MinimumRequests: 3, Window: time.Minute}
		s.Breaker = &b
	}))
	for range 3 {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-arrived
		c.Close()
		w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	}
	if res, _ := w.dial().get("/"); res.StatusCode != 503 || res.Header.Get("fairlead-reason") != "circuit_open" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// A start is called what it is: repairs of dead kept-alive connections are not the policy's retries.
func TestRule08_ARepairIsNotCalledARetry(t *testing.T) {
	served := make(chan struct{}, 4)
	w := build(t, serve(t, func(n int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		p.ok("fine")
		served <- struct{}{}
		if n == 0 {
			_, _ = p.r.ReadByte() // the next request; its answer is the end
		}
	}), toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
	c := w.dial()
	c.get("/")
	if _, body := c.get("/"); body != "fine" {
		t.Fatalf("got %q", body)
	}
	w.waitFor(t, func() bool { w.seen.mu.Lock(); defer w.seen.mu.Unlock(); return len(w.seen.calls) == 2 })
	var got []string
	for _, attempt := range w.seen.lastCall(t).Attempts {
		got = append(got, fmt.Sprint(attempt.Start, " ", attempt.Kind, " ", attempt.Reused, " ", attempt.Detail))
	}
	if want := "[first reset true closed repair ok false ]"; fmt.Sprint(got) != want && fmt.Sprint(got) != "[first reset true connection reset repair ok false ]" {
		t.Errorf("attempts %v, want %v", got, want)
	}
}

// maxBytes bounds what is sent again, wherever it was kept.
func TestRule18_ABodyThatCameWithItsHeadIsBoundedToo(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(503, ""))), toAny(func(s *policy.Settings) { s.Retry.On, s.Retry.BodyMaxBytes = policy.Of(policy.GatewayError), 3 }))
	for i, tc := range []struct {
		body     string
		want     call.RetryDecision
		attempts int64
	}{
		{"Content-Length: 4\r\n\r\nfour", call.ByBody, 1},
		{"Content-Length: 3\r\n\r\nthr", call.Exhausted, 3},
		{"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 4) + "0\r\n\r\n", call.ByBody, 1},
	} {
		n.Store(0)
		c := w.dial()
		c.send("PUT / HTTP/1.1\r\nHost: a\r\n" + tc.body)
		c.response("PUT")
		w.waitFor(t, func() bool { w.seen.mu.Lock(); defer w.seen.mu.Unlock(); return len(w.seen.calls) == i+1 })
		if e := w.seen.lastCall(t); e.Outcome.Decision != tc.want || n.Load() != tc.attempts {
			t.Errorf("%q: outcome %+v after %d attempts", tc.body, e.Outcome, n.Load())
		}
	}
}

// A body of which nothing was sent is still there, whatever is kept.
func TestRule18_AnUnsentBodyIsNotLost(t *testing.T) {
	w := build(t, closedAddress(t), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.BodyMaxBytes = policy.Of(policy.ConnectFailure), 0
	}))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour")
	c.response("PUT")
	if n := w.dialer.dials.Load(); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

// Calls that their clients give up say nothing against an endpoint: it goes on getting its share.
func TestRule04_ADepartedClientDoesNotCountAgainstTheEndpoint(t *testing.T) {
	hung := make(chan struct{})
	end := make(chan struct{})
	var served atomic.Int64
	a := serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if q.URL.Path == "/hang" {
				hung <- struct{}{}
				<-end
				return
			}
			served.Add(1)
			p.ok("")
		}
	})
	b := serve(t, echo)
	w := build(t, a, toAny(nil))
	t.Cleanup(func() { close(end) })
	w.serviceOf(nil, a)
	for range 6 {
		c := w.dial()
		c.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
		<-hung
		_ = c.SetLinger(0)
		_ = c.Close()
		w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	}
	w.serviceOf(nil, a, b)
	c := w.dial()
	for range 40 {
		c.get("/")
	}
	if served.Load() == 0 {
		t.Error("it gets no calls any more")
	}
}
