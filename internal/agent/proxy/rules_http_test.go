package proxy

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

//overtls:originate,intercept
func TestRule27_MalformedRequestsAreRefused(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) { t.Error("something was forwarded") }), toAny(nil))
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

//overtls:originate,intercept
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
	}), toAny(nil))
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

//overtls:originate,intercept
func TestRule29_UpgradesBecomeTunnels(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		q, _, ok := p.request()
		if !ok || q.Header.Get("Upgrade") != "chat" {
			return
		}
		p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nwelcome ")
		_, _ = io.Copy(p, p.r)
	}), toAny(nil))
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

//overtls:originate,intercept
func TestRule29_HTTP10AndReadUntilClose(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if q, _, ok := p.request(); ok {
			p.send("HTTP/1.0 200 OK\r\nX: " + q.Proto + "\r\n\r\nuntil close")
		}
	}), toAny(nil))
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
	}), toAny(nil))
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
	b := toAny(retryOn(policy.GatewayError))
	b.To.Protocol = policy.ProtocolAuto
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 1 {
			p.send(answer(503, "first"))
		} else {
			p.ok("healed")
		}
	})), b)
	c := w.dial()
	w.probed()
	if _, body := c.get("/"); body != "healed" {
		t.Fatalf("got %q", body)
	}
}
