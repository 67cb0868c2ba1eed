package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// nowhere is an address at which nothing listens.
func nowhere(t *testing.T) netip.AddrPort {
	t.Helper()
	var addr netip.AddrPort
	t.Run("reserve", func(t *testing.T) { addr = serve(t, func(int, *peer) {}) })
	return addr
}

func TestRule01_TheOverallDeadlineCoversTriesAndBackoff(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		_, _, _ = p.request() // says nothing until the connection goes
	}), anywhere(func(s *policy.Settings) { s.Timeouts.Overall = 150 * time.Millisecond }))
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
		tick := time.NewTimer(250 * time.Millisecond)
		defer tick.Stop()
		<-tick.C
		p.send("def")
		p.request()
	}), anywhere(func(s *policy.Settings) { s.Timeouts.PerTry = 100 * time.Millisecond }))
	if _, body := w.dial().get("/"); body != "abcdef" {
		t.Fatalf("got %q", body)
	}
}

//enforces:http1 retry.when timeouts.perTry
func TestRule02_ASlowTryIsRetriedElsewhere(t *testing.T) {
	var tries atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			if tries.Add(1) == 1 {
				continue // no answer: the next read sees the connection go
			}
			p.ok("second")
		}
	}), anywhere(func(s *policy.Settings) {
		s.Timeouts.PerTry = 100 * time.Millisecond
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
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			p.send("HTTP/1.1 503 Busy\r\nRetry-After: 7200\r\nContent-Length: 4\r\n\r\nbusy")
		}
	}), anywhere(func(s *policy.Settings) {
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
		_, _ = p.r.ReadByte() // until the try is cancelled
		close(gone)
	}), anywhere(nil))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-began
	c.Close()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the try was not cancelled")
	}
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || e.Outcome.Decision != call.Abandoned {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

func TestRule07_AnUnsentPOSTIsRetried(t *testing.T) {
	w := build(t, nowhere(t), anywhere(retryOn(policy.ConnectFailure)))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	res, _ := c.response("POST")
	if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "connect_failure" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	if n := w.dialer.dials.Load(); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.Exhausted {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

func TestRule07_ASentPOSTIsNot(t *testing.T) {
	var requests atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			requests.Add(1)
		}
	}), anywhere(retryOn(policy.ConnectFailure, policy.Reset, policy.ResetBeforeRequest)))
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
			}), anywhere(retryOn(policy.GatewayError, policy.Reset)))
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
			}), anywhere(func(s *policy.Settings) {
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

// A pool of one connection must not keep a retry from its connection because of the response kept.
func TestRule10_AKeptResponseDoesNotBlockThePool(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			if n.Add(1) == 1 {
				p.send(answer(503, strings.Repeat("x", 2000)))
				continue
			}
			p.ok("good")
		}
	}), anywhere(func(s *policy.Settings) {
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
			w := build(t, serve(t, func(_ int, p *peer) {
				for {
					if _, _, ok := p.request(); !ok {
						return
					}
					if n.Add(1) > 1 {
						p.ok("good")
						continue
					}
					p.send(fmt.Sprintf("HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%s", size, body[:100]))
					pause := time.NewTimer(60 * time.Millisecond)
					<-pause.C
					p.send(body[100:])
				}
			}), anywhere(func(s *policy.Settings) {
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

func TestRule25_AWaiterThatLeavesGivesItsPlaceBack(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			if n.Add(1) == 1 {
				close(arrived)
				<-release
			}
			p.ok("done")
		}
	}), anywhere(func(s *policy.Settings) {
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
	}), anywhere(retryOn(policy.GatewayError)))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 103 {
		t.Fatalf("got %d", res.StatusCode)
	}
	if res, body := c.response("GET"); res.StatusCode != 503 || body != "no" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if n.Load() != 1 {
		t.Errorf("%d tries", n.Load())
	}
}

//enforces:http1 retry.idempotency.mode retry.idempotency.generateKey
func TestRule16_AGeneratedKeyIsTheSameOnEveryTry(t *testing.T) {
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
	}), anywhere(func(s *policy.Settings) {
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

func TestRule18_BodiesAreReplayed(t *testing.T) {
	for name, send := range map[string]func(c *client, body string){
		"with the head": func(c *client, body string) {
			c.send(fmt.Sprintf("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		},
		"in pieces": func(c *client, body string) {
			c.send(fmt.Sprintf("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(body)))
			for i := 0; i < len(body); i += 7001 {
				c.send(body[i:min(i+7001, len(body))])
			}
		},
		"chunked": func(c *client, body string) {
			c.send("PUT /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := 0; i < len(body); i += 999 {
				p := body[i:min(i+999, len(body))]
				c.send(fmt.Sprintf("%x\r\n%s\r\n", len(p), p))
			}
			c.send("0\r\nX-Sum: 1\r\n\r\n")
		},
	} {
		for _, size := range []int{1, 3000, 50_000} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				var n atomic.Int64
				w := build(t, serve(t, func(_ int, p *peer) {
					for {
						_, body, ok := p.request()
						if !ok {
							return
						}
						if n.Add(1) < 3 {
							p.send(answer(503, ""))
							continue
						}
						p.ok(body)
					}
				}), anywhere(retryOn(policy.GatewayError)))
				body := strings.Repeat("abcdefghij", size/10+1)[:size]
				c := w.dial()
				send(c, body)
				if res, got := c.response("PUT"); res.StatusCode != 200 || got != body {
					t.Fatalf("got %d and %d bytes", res.StatusCode, len(got))
				}
				w.seen.lastCall(t) // reported after everything is given back
				if used := w.server.ReplayMemory().Used(); used != 0 {
					t.Errorf("%d bytes of replay memory are still held", used)
				}
			})
		}
	}
}

//enforces:http1 retry.body.maxBytes
func TestRule18_AnOverflowIsNotReplayed(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			_, body, ok := p.request()
			if !ok {
				return
			}
			n.Add(1)
			p.send(answer(503, fmt.Sprint(len(body))))
		}
	}), anywhere(func(s *policy.Settings) {
		s.Retry.On, s.Retry.BodyMaxBytes = policy.Of(policy.GatewayError), 10_000
	}))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
	c.send(strings.Repeat("x", 20000))
	if res, body := c.response("PUT"); res.StatusCode != 503 || body != "20000" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByBody || n.Load() != 1 {
		t.Errorf("outcome %+v after %d tries", e.Outcome, n.Load())
	}
}

func TestRule19_ReplayMemoryIsCapped(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			p.send(answer(503, ""))
		}
	}), anywhere(retryOn(policy.GatewayError)))
	if !w.server.ReplayMemory().Reserve(DefaultReplayMemory) {
		t.Fatal("no memory to begin with")
	}
	defer w.server.ReplayMemory().Release(DefaultReplayMemory)
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
	c.send(strings.Repeat("x", 20000))
	if res, _ := c.response("PUT"); res.StatusCode != 503 {
		t.Fatalf("got %d", res.StatusCode)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByBody {
		t.Errorf("outcome %+v", e.Outcome)
	}
	if w.server.ReplayMemory().Capped() == 0 {
		t.Error("nothing was counted")
	}
}

func TestRule20_AnEarlyResponseIsForwardedAtOnce(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		n.Add(1)
		if _, err := p.r.ReadString('\n'); err != nil {
			return
		}
		p.send(answer(503, "too much"))
		_, _ = io.Copy(io.Discard, p.r)
	}), anywhere(retryOn(policy.GatewayError)))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome")
	if res, body := c.response("PUT"); res.StatusCode != 503 || body != "too much" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if n.Load() != 1 {
		t.Errorf("%d tries", n.Load())
	}
}

// A server that answers while it reads gets the whole request all the same.
func TestRule20_RequestAndResponseCanOverlap(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			line, err := p.r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			b, err := p.r.ReadByte()
			if err != nil {
				return
			}
			p.send("1\r\n" + string(b) + "\r\n")
			if b == '.' {
				p.send("0\r\n\r\n")
				echo(0, p)
				return
			}
		}
	}), anywhere(nil))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
	for _, line := range []string{"HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n", "\r\n"} {
		if got, err := c.r.ReadString('\n'); got != line {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	for _, b := range []string{"a", "b", "c", "."} {
		c.send(b)
		want := "1\r\n" + b + "\r\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if got, err := io.ReadAll(io.LimitReader(c.r, 5)); string(got) != "0\r\n\r\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if res, _ := c.get("/next"); res == nil {
		t.Fatal("the connection did not survive")
	}
}

func TestRule21_ExpectContinuePassesThrough(t *testing.T) {
	asked := make(chan struct{})
	w := build(t, serve(t, func(n int, p *peer) {
		q, err := p.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(q, "PUT") {
			return
		}
		for line := ""; line != "\r\n"; {
			if line, err = p.r.ReadString('\n'); err != nil {
				return
			}
		}
		if n == 0 {
			return // before 100: the retry needs no buffer
		}
		<-asked
		p.send("HTTP/1.1 100 Continue\r\n\r\n")
		body := make([]byte, 5)
		_, _ = io.ReadFull(p.r, body)
		p.ok(string(body))
	}), anywhere(func(s *policy.Settings) {
		s.Retry.On, s.Retry.BodyMaxBytes = policy.Of(policy.Reset), 0
	}))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := c.r.ReadByte(); err == nil {
		t.Fatalf("the agent answered by itself: %q", b)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	close(asked)
	if res, _ := c.response("PUT"); res.StatusCode != 100 {
		t.Fatalf("got %d", res.StatusCode)
	}
	c.send("hello")
	if res, body := c.response("PUT"); res.StatusCode != 200 || body != "hello" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
}

func TestRule21_AFinalResponseInsteadOf100(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = p.r.ReadString('\n'); err != nil {
				return
			}
		}
		p.send(answer(417, "no"))
		p.request()
	}), anywhere(nil))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if res, body := c.response("PUT"); res.StatusCode != 417 || body != "no" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	c.expectEnd()
}

func TestRule25_PoolOverflowIsRejected(t *testing.T) {
	release := make(chan struct{})
	var busy sync.WaitGroup
	busy.Add(1)
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			busy.Done()
			<-release
			p.ok("late")
			release = nil
		}
	}), anywhere(func(s *policy.Settings) {
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

func TestRule26_AnOpenBreakerRejectsLocally(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			n.Add(1)
			p.send(answer(500, "broken"))
		}
	}), anywhere(func(s *policy.Settings) {
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

func TestRule26_L4FailuresAreResets(t *testing.T) {
	b := anywhere(nil)
	b.To.Protocol = policy.ProtocolTCP
	w := build(t, nowhere(t), b)
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

func TestRule27_MalformedRequestsAreRefused(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) { t.Error("something was forwarded") }), anywhere(nil))
	for _, q := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	} {
		c := w.dial()
		c.send(q)
		if res, _ := c.response("GET"); res.StatusCode != 400 || !res.Close {
			t.Fatalf("%q: got %d", q, res.StatusCode)
		}
		c.expectEnd()
	}
}

func TestRule28_HopByHopFieldsAreRemoved(t *testing.T) {
	got := make(chan string, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		var head strings.Builder
		for {
			line, err := p.r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			head.WriteString(line)
		}
		got <- head.String()
		p.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nX-a: 1\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n\r\n")
	}), anywhere(nil))
	c := w.dial()
	c.send("GET /x HTTP/1.1\r\nhOst: a\r\nB: 1\r\nConnection: keep-alive, X-Hop\r\nb: 2\r\nX-Hop: 3\r\nKeep-Alive: x\r\n\r\n")
	if want, g := "GET /x HTTP/1.1\r\nhOst: a\r\nB: 1\r\nb: 2\r\n", <-got; g != want {
		t.Errorf("upstream got %q, want %q", g, want)
	}
	want := "HTTP/1.1 200 OK\r\nX-a: 1\r\nContent-Length: 0\r\nX-A: 2\r\n\r\n"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		t.Errorf("client got %q, want %q", b, want)
	}
}

func TestRule29_UpgradesBecomeTunnels(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		q, _, ok := p.request()
		if !ok || q.Header.Get("Upgrade") != "chat" {
			return
		}
		p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nwelcome ")
		_, _ = io.Copy(p, p.r)
	}), anywhere(nil))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nearly ")
	if res, _ := c.response("GET"); res.StatusCode != 101 || res.Header.Get("Upgrade") != "chat" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	c.send("late")
	want := "welcome early late"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v", b, err)
	}
	_ = c.CloseWrite()
	c.expectEnd()
}

func TestRule29_HTTP10AndReadUntilClose(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if q, _, ok := p.request(); ok {
			p.send("HTTP/1.0 200 OK\r\nX: " + q.Proto + "\r\n\r\nuntil close")
		}
	}), anywhere(nil))
	c := w.dial()
	c.send("GET / HTTP/1.0\r\n\r\n")
	if res, body := c.response("GET"); body != "until close" || !res.Close {
		t.Fatalf("got %q, close %v", body, res.Close)
	}
	c.expectEnd()
}

func TestRule29_ATruncatedResponseIsReset(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
	}), anywhere(nil))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b, err := io.ReadAll(c.r)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v, want a reset", b, err)
	}
	if e := w.seen.lastCall(t); !e.Outcome.Truncated {
		t.Errorf("report %+v", e)
	}
}

func TestRule32_AServerThatSpeaksFirstIsNotHeldUp(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.send("220 ready\r\n")
		line, _ := p.r.ReadString('\n')
		p.send("echo " + line)
	}), undeclared(nil))
	c := w.dial()
	if line, err := c.r.ReadString('\n'); line != "220 ready\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	c.send("HELO\r\n")
	if line, err := c.r.ReadString('\n'); line != "echo HELO\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	c.expectEnd()
}

// A client that connects in advance gets its policy all the same.
func TestRule32_ALateRequestIsStillHTTP(t *testing.T) {
	var n atomic.Int64
	b := anywhere(retryOn(policy.GatewayError))
	b.To.Protocol = policy.ProtocolAuto
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			if n.Add(1) == 1 {
				p.send(answer(503, "first"))
			} else {
				p.ok("healed")
			}
		}
	}), b)
	c := w.dial()
	w.hushed()
	if _, body := c.get("/"); body != "healed" {
		t.Fatalf("got %q", body)
	}
}

func TestRule33_ACallKeepsItsVersion(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			if n.Add(1) == 1 {
				close(arrived)
				<-release
			}
			p.send(answer(503, fmt.Sprint(n.Load())))
		}
	}), anywhere(func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 2 }))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	w.install(anywhere(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
	close(release)
	if _, body := c.response("GET"); body != "3" {
		t.Fatalf("the call under way made %s tries, want 3", body)
	}
	if _, body := c.get("/"); body != "4" {
		t.Fatalf("the next call ended with try %s, want 4", body)
	}
}

func TestRule34_ConnectionsOutliveThePolicy(t *testing.T) {
	w := build(t, serve(t, echo), anywhere(nil))
	c := w.dial()
	c.get("/1")
	w.install()
	if _, body := c.get("/2"); body != "GET /2 " {
		t.Fatalf("got %q", body)
	}
	if w.events.passed[PassedUnmatched].Load() != 1 {
		t.Error("the rest was not passed through")
	}
}

func TestUnmatchedTrafficIsByteExact(t *testing.T) {
	b := anywhere(nil)
	b.To = policy.Target{Kind: policy.TargetHost, Host: "other.example"}
	for name, sent := range map[string]string{
		"another host": "gEt /x?y HTTP/1.1\r\nHost: me.example\r\nConnection: X\r\nX: 1\r\nKeep-Alive: 3\r\n\r\nbody",
		"malformed":    "GET /x HTTP/1.1\r\nBad Header: 1\r\nHost: a\r\n\r\n",
		"tls":          "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
		"other":        "HELLO there\r\nmore",
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			w := build(t, serve(t, func(_ int, p *peer) {
				all, _ := io.ReadAll(p.r)
				got <- string(all)
				p.send("bye")
			}), b)
			c := w.dial()
			c.send(sent)
			_ = c.CloseWrite()
			if g := <-got; g != sent {
				t.Errorf("got %q, want %q", g, sent)
			}
			if all, _ := io.ReadAll(c.r); string(all) != "bye" {
				t.Errorf("client got %q", all)
			}
		})
	}
}

func TestShutdownFinishesCallsAndClosesIdleConnections(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if q.URL.Path == "/slow" {
				close(arrived)
				<-release
			}
			p.ok("done")
		}
	}), anywhere(nil))
	idle, slow := w.dial(), w.dial()
	idle.get("/")
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- w.server.Shutdown(ctx) }()
	idle.expectEnd()
	close(release)
	if res, body := slow.response("GET"); body != "done" || !res.Close {
		t.Fatalf("got %q, close %v", body, res.Close)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}
