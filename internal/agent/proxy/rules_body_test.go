package proxy

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

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
				}), toAny(retryOn(policy.GatewayError)))
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
	}), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.BodyMaxBytes = policy.Of(policy.GatewayError), 10_000
	}))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
	c.send(strings.Repeat("x", 20000))
	if res, body := c.response("PUT"); res.StatusCode != 503 || body != "20000" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if e := w.seen.lastCall(t); e.Outcome.Decision != call.ByBody || n.Load() != 1 {
		t.Errorf("outcome %+v after %d attempts", e.Outcome, n.Load())
	}
}

func TestRule19_ReplayMemoryIsCapped(t *testing.T) {
	w := build(t, serve(t, toEach(func(p *peer) { p.send(answer(503, "")) })), toAny(retryOn(policy.GatewayError)))
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
	}), toAny(retryOn(policy.GatewayError)))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome")
	if res, body := c.response("PUT"); res.StatusCode != 503 || body != "too much" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if n.Load() != 1 {
		t.Errorf("%d attempts", n.Load())
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
	}), toAny(nil))
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
	}), toAny(func(s *policy.Settings) {
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
	}), toAny(nil))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if res, body := c.response("PUT"); res.StatusCode != 417 || body != "no" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	c.expectEnd()
}
