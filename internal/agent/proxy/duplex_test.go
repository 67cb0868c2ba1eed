package proxy

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// serviceOf governs calls of one Service: endpoints that a balancer chooses, not the client. Without any it is the one that the
// world's clients go to.
func (w *testProxy) serviceOf(change func(*policy.Settings), endpoints ...netip.AddrPort) {
	w.t.Helper()
	if len(endpoints) == 0 {
		endpoints = []netip.AddrPort{w.original}
	}
	b := toAny(change)
	b.To = policy.Target{Kind: policy.TargetService, Service: "ns/up", Protocol: policy.ProtocolHTTP}
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Namespace: "ns", Name: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{b}}},
		Destinations: map[string]*policy.Destination{"ns/up": {
			Name: "ns/up", ClusterIPs: []netip.Addr{w.original.Addr()},
			Ports: []policy.DestinationPort{{Port: w.original.Port(), Endpoints: policy.Ready(endpoints...)}},
		}},
	}
	if r := w.store.Install(snapshot); len(r) > 0 {
		w.t.Fatalf("rejected: %v", r)
	}
}

const uploadSize = 8 << 20 // more than both connections' buffers take

func (c *client) beginUpload(size int) {
	c.t.Helper()
	c.send(fmt.Sprintf("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
}

// An answer that is complete before the request is does not end the upload, which the upstream goes on to read.
func TestRule20_TheUploadGoesOnBehindACompleteAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		ends   bool // the connection ends with it
	}{
		"202":           {answer: answer(202, "later")},
		"202 and close": {"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlater", true},
		"413":           {answer: answer(413, "later")},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan int64, 1)
			w := build(t, serve(t, func(n int, p *peer) {
				if n > 0 || !p.headOnly() {
					return
				}
				p.send(tc.answer)
				read, _ := io.CopyN(io.Discard, p.r, uploadSize)
				got <- read
				if !tc.ends {
					echo(0, p)
				}
			}), toAny(nil))
			c := w.dial()
			c.beginUpload(uploadSize)
			if _, body := c.response("PUT"); body != "later" {
				t.Fatalf("got %q", body)
			}
			if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
				t.Fatal(err)
			}
			if n := <-got; n != uploadSize {
				t.Fatalf("%d of %d bytes arrived", n, uploadSize)
			}
			if tc.ends {
				c.expectEnd()
			} else if _, body := c.get("/next"); body != "GET /next " {
				t.Fatalf("got %q", body)
			}
			if e := w.seen.lastCall(t); e.Outcome.Truncated {
				t.Errorf("report %+v", e)
			}
		})
	}
}

// An answer to a request that the upstream does not take any more reaches a client that writes first and reads then, whole.
func TestRule20_AClientThatWritesFirstReadsItsAnswer(t *testing.T) {
	const size = 300_000
	w := build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		p.send(fmt.Sprintf("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
		p.delivered(t) // and closed with bytes unread: the rest of the upload meets a reset
	}), toAny(nil))
	for range 5 {
		c := w.dial()
		c.beginUpload(uploadSize)
		if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
			t.Fatalf("the upload: %v", err)
		}
		if res, body := c.response("PUT"); res.StatusCode != 413 || len(body) != size {
			t.Fatalf("got %d and %d bytes", res.StatusCode, len(body))
		}
		c.expectEnd()
	}
}

// An upstream that answers and takes nothing more is heard while its connection is full.
func TestRule20_AnAnswerIsSeenWhileTheUploadIsBlocked(t *testing.T) {
	full, release := make(chan struct{}), make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		<-full
		p.ok("enough")
		<-release
	}), toAny(nil))
	defer close(release)
	c := w.dial()
	c.beginUpload(muchBody)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // by then nothing moves any more
		_, _ = io.CopyN(c, zeros{}, muchBody)
	}()
	<-sent
	close(full)
	if res, body := c.response("PUT"); res.StatusCode != 200 || body != "enough" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail == routes.NoDetail {
		t.Errorf("a success that the upload does not belong to: %+v", e)
	}
}

// The upstream's end of an upload that it took a part of is no success.
func TestRule20_AnUploadCutIsNotASuccess(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if p.headOnly() {
			p.ok("thanks")
		}
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(uploadSize)
	if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
		t.Fatalf("the upload: %v", err)
	}
	if res, body := c.response("PUT"); res.StatusCode != 200 || body != "thanks" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	c.expectEnd()
	if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail != routes.DetailUploadCut {
		t.Errorf("report %+v", e)
	}
}

// Both ways at once, much of it, to a client that reads only when it has written everything.
func TestRule20_MuchGoesBothWays(t *testing.T) {
	const echoed = 1 << 20
	w := build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", echoed))
		for range echoed / 4096 {
			if _, err := io.CopyN(io.Discard, p.r, uploadSize/(echoed/4096)); err != nil {
				return
			}
			p.send(strings.Repeat("x", 4096))
		}
		echo(0, p)
	}), toAny(func(s *policy.Settings) { s.Timeouts.Idle = patience }))
	c := w.dial()
	c.beginUpload(uploadSize)
	if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
		t.Fatal(err)
	}
	if _, body := c.response("PUT"); len(body) != echoed {
		t.Fatalf("got %d bytes", len(body))
	}
	if _, body := c.get("/next"); body != "GET /next " {
		t.Fatalf("got %q", body)
	}
}

// A client takes its time over an upload: that is not the upstream's time.
func TestRule02_ASlowUploadIsNotCut(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		n.Add(1)
		echo(0, p)
	}), toAny(func(s *policy.Settings) {
		s.Timeouts.PerTry, s.Timeouts.ResponseHeader = 150*time.Millisecond, 150*time.Millisecond
		s.Retry.On = policy.Of(policy.PerTryTimeout)
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 1
		b.SlowCalls = &policy.SlowCalls{Threshold: 200 * time.Millisecond, Percent: 1, MinimumRequests: 1, Window: time.Minute}
		s.Breaker = &b
	}))
	c := w.dial()
	for range 2 {
		c.beginUpload(4)
		for _, piece := range []string{"s", "l", "o", "w"} {
			c.pause(100 * time.Millisecond)
			c.send(piece)
		}
		if res, body := c.response("PUT"); res.StatusCode != 200 || body != "PUT /up slow" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d connections", n.Load())
	}
}

// perTry bounds the wait for the answer to an upload, from its last byte on.
func TestRule02_TheAnswerToAnUploadIsTimed(t *testing.T) {
	for name, limit := range map[string]func(*policy.Settings){
		"perTry":         func(s *policy.Settings) { s.Timeouts.PerTry = 150 * time.Millisecond },
		"responseHeader": func(s *policy.Settings) { s.Timeouts.ResponseHeader = 150 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				p.request()
				_, _, _ = p.request()
			}), toAny(limit))
			c := w.dial()
			c.beginUpload(2)
			c.pause(200 * time.Millisecond)
			c.send("hi")
			if res, _ := c.response("PUT"); res.StatusCode != 504 || res.Header.Get("fairlead-reason") != "per_try_timeout" {
				t.Fatalf("got %d %v", res.StatusCode, res.Header)
			}
			if e := w.seen.lastCall(t); e.Detail != routes.Detail("timeouts."+name) {
				t.Errorf("detail %q", e.Detail)
			}
		})
	}
}

// Of a request whose body is bad as far as it has come, nothing is sent.
func TestRule27_ABodyThatIsVisiblyBadIsNotForwarded(t *testing.T) {
	for _, body := range []string{"zz\r\n", "0x5\r\nhello", "5\r\nhelloX", "-1\r\n", "5\nhello"} {
		t.Run(body, func(t *testing.T) {
			w := build(t, closedAddress(t), toAny(retryOn(policy.ConnectFailure)))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
			if res, _ := c.response("POST"); res.StatusCode != 400 || !res.Close {
				t.Fatalf("got %d, close %v", res.StatusCode, res.Close)
			}
			c.expectEnd()
			if n := w.dialer.dials.Load(); n != 0 {
				t.Errorf("%d connections were made for it", n)
			}
			if n, r := w.events.malformed.Load(), w.events.refused.Load(); n != 1 || r.Status != 400 || r.Reason == "" {
				t.Errorf("counted %d times, reported %+v", n, r)
			}
		})
	}
}
