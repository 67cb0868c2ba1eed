package proxy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

//overtls:originate,intercept
func TestRule07_AnUnsentPOSTIsRetried(t *testing.T) {
	w := build(t, closedAddress(t), toAny(retryOn(policy.ConnectFailure)))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	res, _ := c.response("POST")
	if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "connect_failure" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	if n := w.dialer.dials.Load(); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.Exhausted {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

//overtls:originate,intercept
func TestRule07_ASentPOSTIsNot(t *testing.T) {
	var requests atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			requests.Add(1)
		}
	}), toAny(retryOn(policy.ConnectFailure, policy.Reset, policy.ResetBeforeRequest)))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	res, _ := c.response("POST")
	if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "reset" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests arrived, want 1", n)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByMethod {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// The upstream answers once per connection and closes without a word about it.
func TestRule08_AStaleConnectionCostsNothing(t *testing.T) {
	closed := make(chan struct{}, 100)
	w := build(t, serve(t, func(_ int, p *peer) {
		if q, body, ok := p.request(); ok {
			p.ok(q.Method + body)
		}
		_ = p.CloseWrite()
		p.delivered(t)
		closed <- struct{}{}
	}))
	w.serviceOf(func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
	c := w.dial()
	for i := range 20 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "GET" {
			t.Fatalf("call %d: got %d %q", i, res.StatusCode, body)
		}
	}
	for range 20 {
		<-closed
	}
	// A POST finds out before it is sent: an idle connection is looked at (rule 25).
	for i := range 5 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		if res, body := c.response("POST"); res.StatusCode != 200 || body != "POSThi" {
			t.Fatalf("call %d: got %d %q", i, res.StatusCode, body)
		}
		<-closed
	}
}

func TestRule10_TheLastRealResponseIsForwarded(t *testing.T) {
	for name, tc := range map[string]struct {
		last func(p *peer)
		want string
	}{
		"another 503": {func(p *peer) { p.send(answer(503, "third")) }, "third"},
		"a reset":     {func(p *peer) { _ = p.SetLinger(0) }, "second"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, serve(t, func(_ int, p *peer) {
				for {
					if _, _, ok := p.request(); !ok {
						return
					}
					switch n.Add(1) {
					case 1:
						p.send(answer(503, "first"))
					case 2:
						p.send(answer(503, "second"))
					default:
						tc.last(p)
						return
					}
				}
			}), toAny(retryOn(policy.GatewayError, policy.Reset)))
			c := w.dial()
			if res, body := c.get("/"); res.StatusCode != 503 || body != tc.want || res.Header.Get("fairlead-reason") != "" {
				t.Fatalf("got %d %q %v", res.StatusCode, body, res.Header)
			}
			if e := w.seen.lastCall(t); e.Outcome.Decision != call.Exhausted || e.Outcome.Attempts < 3 {
				t.Errorf("outcome %+v", e.Outcome)
			}
		})
	}
}

func TestRule10_LargeKeptResponses(t *testing.T) {
	for _, size := range []int{5 << 10, 60 << 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body := strings.Repeat("e", size)
			var n atomic.Int64
			w := build(t, serve(t, func(_ int, p *peer) {
				for {
					if _, _, ok := p.request(); !ok {
						return
					}
					if n.Add(1)%2 == 0 {
						_ = p.SetLinger(0)
						return
					}
					p.send(answer(500, body))
				}
			}), toAny(func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.ServerError), 1
			}))
			c := w.dial()
			for range 3 {
				if res, got := c.get("/"); res.StatusCode != 500 || got != body {
					t.Fatalf("got %d and %d bytes", res.StatusCode, len(got))
				}
			}
		})
	}
}

// Where the client chose the address its connection ends with the one that the response came on, not with that of an attempt behind it: what has yet to
// reach a slow client would be lost.
func TestRule10_AKeptResponseIsNotCutByTheEndOfALaterAttempt(t *testing.T) {
	body := strings.Repeat("e", 300<<10) // its connection is not free for the retry
	var n atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 2 {
			_ = p.SetLinger(0)
			_ = p.Close()
			return
		}
		p.send(answer(500, body))
	})), toAny(func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.ServerError), 1 }))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: up.example\r\n\r\n")
	if e := w.seen.lastCall(t); e.Outcome.Attempts != 2 {
		t.Errorf("outcome %+v", e.Outcome)
	}
	c.pause(time.Second) // in which the agent looks whether the server has ended
	if res, got := c.response("GET"); res.StatusCode != 500 || got != body {
		t.Errorf("got %d and %d bytes", res.StatusCode, len(got))
	}
	c.get("/again")
}

// A pool of one connection must not keep a retry from its connection because of the response kept.
func TestRule10_AKeptResponseDoesNotBlockThePool(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 1 {
			p.send(answer(503, strings.Repeat("x", 2000)))
			return
		}
		p.ok("good")
	})), toAny(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Pool.MaxConnections = 1
	}))
	if res, body := w.dial().get("/"); res.StatusCode != 200 || body != "good" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if d := w.dialer.dials.Load(); d != 1 {
		t.Errorf("%d connections, want 1", d)
	}
}

// A response that comes slowly, or is too large to be taken over, never blocks its own retry when the pool has no place beside it.
func TestRule10_AKeptResponseGivesWayToItsRetry(t *testing.T) {
	for name, size := range map[string]int{"slow": 2000, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			body := strings.Repeat("x", size)
			var n atomic.Int64
			w := build(t, serve(t, toEach(func(p *peer) {
				if n.Add(1) > 1 {
					p.ok("good")
					return
				}
				p.send(fmt.Sprintf("HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%s", size, body[:100]))
				pause := time.NewTimer(60 * time.Millisecond)
				<-pause.C
				p.send(body[100:])
			})), toAny(func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 1
				s.Pool.MaxConnections, s.Pool.PendingTimeout = 1, patience
			}))
			c := w.dial()
			if res, got := c.get("/"); res.StatusCode != 200 || got != "good" {
				t.Fatalf("got %d and %d bytes", res.StatusCode, len(got))
			}
			if res, got := c.get("/"); res.StatusCode != 200 || got != "good" {
				t.Fatalf("then got %d %q", res.StatusCode, got)
			}
		})
	}
}

func TestRule11_NothingIsRetriedAfterAnInterimResponse(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		n.Add(1)
		p.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		p.send(answer(503, "no"))
		p.request()
	}), toAny(retryOn(policy.GatewayError)))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 103 {
		t.Fatalf("got %d", res.StatusCode)
	}
	if res, body := c.response("GET"); res.StatusCode != 503 || body != "no" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if n.Load() != 1 {
		t.Errorf("%d attempts", n.Load())
	}
}

//enforces:http1 retry.idempotency.mode retry.idempotency.generateKey
func TestRule16_AGeneratedKeyIsTheSameOnEveryAttempt(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			mu.Lock()
			keys = append(keys, q.Header.Get("Idempotency-Key"))
			n := len(keys)
			mu.Unlock()
			if n%2 == 1 {
				p.send(answer(503, ""))
				continue
			}
			p.ok("")
		}
	}), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.Idempotency, s.Retry.GenerateKey = policy.Of(policy.GatewayError), policy.IdempotentOrKeyed, true
	}))
	c := w.dial()
	for range 2 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		if res, _ := c.response("POST"); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	if len(keys) != 4 || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] || len(keys[0]) != 36 {
		t.Errorf("keys %q", keys)
	}
}
