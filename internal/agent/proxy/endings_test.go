package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// hold keeps what is sent until the client's side ends, so that both leave in one segment.
func (c *client) hold() {
	c.t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	if err := errors.Join(err, cerr); err != nil {
		c.t.Fatal(err)
	}
}

// The last request of a client comes together with its end, on a connection that has been in use, and its response in pieces:
// the end must be noticed all the same.
func TestRule29_AnEndTogetherWithALaterRequest(t *testing.T) {
	w := build(t, serve(t, toEach(func(p *peer) {
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")
		p.send(strings.Repeat("x", 400000))
	})), toAny(nil))
	c := w.dial()
	c.get("/1")
	c.get("/2")
	c.hold()
	c.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.CloseWrite()
	c.response("GET")
	if b, err := c.r.ReadByte(); err != io.EOF {
		t.Fatalf("byte %q, %v, want the end", b, err)
	}
}

// headOnly reads a request's head.
func (p *peer) headOnly() bool {
	for {
		line, err := p.r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err == nil
		}
	}
}

// An upstream may say 1xx while it waits for the rest of the request: the rest must come.
func TestRule29_InterimResponsesDuringTheUpload(t *testing.T) {
	for _, tc := range []struct{ name, interim, expect string }{
		{"100", "HTTP/1.1 100 Continue\r\n\r\n", ""},
		{"102", "HTTP/1.1 102 Processing\r\n\r\n", ""},
		{"two at once", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ""},
		{"100 after the client's patience", "HTTP/1.1 100 Continue\r\n\r\n", "Expect: 100-continue\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			arrived := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				if !p.headOnly() {
					return
				}
				b := make([]byte, 8)
				if _, err := io.ReadFull(p.r, b[:4]); err != nil {
					return
				}
				close(arrived)
				p.send(tc.interim)
				if _, err := io.ReadFull(p.r, b[4:]); err != nil {
					return
				}
				p.ok(string(b))
				echo(0, p)
			}), toAny(nil))
			c := w.dial()
			c.send("PUT / HTTP/1.1\r\nHost: a\r\n" + tc.expect + "Content-Length: 8\r\n\r\n")
			c.send("half")
			<-arrived
			got := make([]byte, len(tc.interim))
			if _, err := io.ReadFull(c.r, got); err != nil || string(got) != tc.interim {
				t.Fatalf("got %q, %v", got, err)
			}
			c.send("rest")
			if res, body := c.response("PUT"); res.StatusCode != 200 || body != "halfrest" {
				t.Fatalf("got %d %q", res.StatusCode, body)
			}
			if _, body := c.get("/next"); body != "GET /next " {
				t.Fatalf("got %q", body)
			}
		})
	}
}

// deaf starts an upstream that accepts connections and never reads.
func deaf(t *testing.T) netip.AddrPort {
	end := make(chan struct{})
	addr := serve(t, func(int, *peer) { <-end })
	t.Cleanup(func() { close(end) })
	return addr
}

const muchBody = 64 << 20 // more than any socket buffer takes

func (c *client) upload() {
	_, _ = io.WriteString(c, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", muchBody))
	_, _ = io.CopyN(c, zeros{}, muchBody)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Deadlines count while the upstream does not take the request, too.
func TestRule01_DeadlinesHoldWhileSending(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		reason string
	}{
		"overall":     {func(s *policy.Settings) { s.Timeouts.Overall = 150 * time.Millisecond }, "deadline"},
		"maxDuration": {func(s *policy.Settings) { s.Timeouts.MaxDuration = 150 * time.Millisecond }, "deadline"},
		"idle":        {func(s *policy.Settings) { s.Timeouts.Idle = 150 * time.Millisecond }, "per_try_timeout"},
		"write":       {func(s *policy.Settings) { s.Timeouts.Write = 150 * time.Millisecond }, "per_try_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, deaf(t), toAny(tc.change))
			c := w.dial()
			go c.upload()
			res, _ := c.response("PUT")
			if res.StatusCode != 504 || res.Header.Get("fairlead-reason") != tc.reason {
				t.Errorf("got %d %v", res.StatusCode, res.Header)
			}
		})
	}
}

func TestRule04_ADepartedClientIsNoticedWhileSending(t *testing.T) {
	w := build(t, deaf(t), toAny(nil))
	c := w.dial()
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // by then nothing moves any more
	c.upload()
	_ = c.SetLinger(0)
	_ = c.Close()
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// A client that has sent another request by the time its connection is closed must not lose the end of its response to that.
func TestRule29_AResponseUntilCloseSurvivesAPipelinedRequest(t *testing.T) {
	body := strings.Repeat("e", 3<<20)
	next := make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		p.request()
		<-next
		p.send("HTTP/1.1 200 OK\r\n\r\n" + body)
	}), toAny(nil))
	c := w.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.waitFor(t, func() bool { return w.dialer.dials.Load() > 0 })
	c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	close(next)
	if _, got := c.response("GET"); got != body {
		t.Errorf("got %d of %d bytes", len(got), len(body))
	}
}

// A connection on which a request was answered before it was sent to its end would take the next request for the rest of that.
func TestRule29_AConnectionOfAnUnfinishedRequestIsNotReused(t *testing.T) {
	w := build(t, serve(t, func(n int, p *peer) {
		if n > 0 {
			echo(n, p)
			return
		}
		if p.headOnly() {
			p.ok("early")
			_, _ = io.Copy(io.Discard, p.r)
		}
	}), toAny(nil))
	c := w.dial()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
	if _, body := c.response("PUT"); body != "early" {
		t.Fatalf("got %q", body)
	}
	if _, body := w.dial().get("/next"); body != "GET /next " {
		t.Errorf("got %q", body)
	}
}

// A listener that stops hands over connections the kernel had accepted: while it drains the server serves them, and ends each
// after its call.
func TestADrainingServerServesWhatStillArrives(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	ctx, stop := context.WithCancel(t.Context())
	var drain sync.WaitGroup
	drain.Go(func() { w.server.Drain(ctx) })
	poll(t, w.server.draining.Load)
	late := w.dial()
	if res, _ := late.get("/"); res.StatusCode != 200 || !res.Close {
		t.Errorf("status %d, close %v", res.StatusCode, res.Close)
	}
	late.expectEnd()
	stop()
	drain.Wait()
}

// A connection that has not sent anything yet has not been idle since the beginning of time.
func TestADrainGivesANewConnectionTimeForItsFirstRequest(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	w.waitFor(t, func() bool { return w.server.Connections() > 0 })
	w.server.closeIdle(time.Now().Add(-drainQuiet))
	if res, _ := c.get("/"); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}
