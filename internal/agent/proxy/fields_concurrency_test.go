package proxy

import (
	"io"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// running bounds how many calls run at once.
func running(c policy.Concurrency) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Concurrency = &c }
}

// rejectedFor makes a call on a connection of its own, and returns why it was rejected.
func (w *testProxy) rejectedFor(path string) string {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	res, _ := c.get(path)
	return res.Header.Get("fairlead-reason")
}

// As many calls run as may; the next one is rejected, and one that comes when another has ended is not.
//
//enforces:http1 concurrency.max
func TestRule24_CallsAtOnceAreLimited(t *testing.T) {
	g := newGate()
	w := build(t, serve(t, g.serve), toAny(running(policy.Concurrency{Max: 2, Scope: policy.SharePod})))
	t.Cleanup(g.open)
	held := []*client{w.hold(g), w.hold(g)}
	c := w.dial()
	res, _ := c.get("/")
	if res.StatusCode != 429 || res.Header.Get("fairlead-reason") != "rate_limited" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	if e := w.seen.limitedCall(t); e.Detail != routes.DetailConcurrency {
		t.Errorf("reported as %+v", e)
	}
	g.open()
	for _, h := range held {
		h.response("GET")
	}
	poll(t, func() bool { return w.rejectedFor("/") == "" })
}

// A call has its place until its response has ended.
func TestRule24_APlaceIsKeptForTheWholeResponse(t *testing.T) {
	rest := newBarrier()
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
			<-rest.C
			p.send("cd")
		}
	}), toAny(running(policy.Concurrency{Max: 1, Scope: policy.SharePod})))
	t.Cleanup(rest.now)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := io.ReadFull(c.r, make([]byte, len("HTTP/1.1 200 OK\r\n"))); err != nil {
		t.Fatal(err)
	}
	if why := w.rejectedFor("/"); why != "rate_limited" {
		t.Errorf("while the response is under way: %q", why)
	}
	rest.now()
	poll(t, func() bool { return w.rejectedFor("/") == "" })
}

// Calls that may wait get the places of those that end, and others are rejected.
//
//enforces:http1 concurrency.maxQueued concurrency.maxWait
func TestRule24_CallsWaitForAPlace(t *testing.T) {
	g := newGate()
	w := build(t, serve(t, g.serve), toAny(running(policy.Concurrency{Max: 1, MaxQueued: 2, MaxWait: time.Hour, Scope: policy.SharePod})))
	t.Cleanup(g.open)
	waiting := []*client{w.hold(g)}
	for i := range 2 {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		poll(t, func() bool { return limitWaiting(w.store) == i+1 })
		waiting = append(waiting, c)
	}
	if why := w.rejectedFor("/"); why != "rate_limited" {
		t.Errorf("one more than may wait: %q", why)
	}
	waiting[1].Close()
	poll(t, func() bool { return limitWaiting(w.store) == 1 })
	g.open()
	for _, i := range []int{0, 2} {
		if res, _ := waiting[i].response("GET"); res.StatusCode != 200 {
			t.Errorf("call %d got %d", i, res.StatusCode)
		}
	}
}

// A wait is as long as written.
func TestRule24_AWaitForAPlaceIsBounded(t *testing.T) {
	g := newGate()
	w := build(t, serve(t, g.serve), toAny(running(policy.Concurrency{Max: 1, MaxQueued: 1, MaxWait: 20 * time.Millisecond, Scope: policy.SharePod})))
	t.Cleanup(g.open)
	w.hold(g)
	if why := w.rejectedFor("/"); why != "rate_limited" {
		t.Errorf("got %q", why)
	}
}

// adaptiveBounds are bounds of a limit that adapts, and how many calls it lets be under way at first.
var adaptiveBounds = map[string]struct {
	bounds policy.AdaptiveConcurrency
	held   int
}{
	"the lowest":  {policy.AdaptiveConcurrency{Min: 22, Max: 1000}, 22},
	"the highest": {policy.AdaptiveConcurrency{Min: 1, Max: 2}, 2},
}

// A limit that adapts keeps the bounds that are written.
//
//enforces:http1 concurrency.adaptive.min concurrency.adaptive.max
func TestRule24_AnAdaptiveLimitKeepsItsBounds(t *testing.T) {
	for name, tc := range adaptiveBounds {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			w := build(t, serve(t, g.serve), toAny(running(policy.Concurrency{Adaptive: &tc.bounds, Scope: policy.SharePod})))
			t.Cleanup(g.open)
			for range tc.held {
				w.hold(g)
			}
			if why := w.rejectedFor("/"); why != "rate_limited" {
				t.Errorf("one more: %q", why)
			}
		})
	}
}

//enforces:http1 concurrency.scope
func TestRule24_PlacesAreSharedAsWritten(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAny(running(policy.Concurrency{Max: 1, Scope: scope})))
			n.up = serve(t, g.serve)
			defer g.open() // before connections are waited for
			held := n.dial(pod)
			held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
			<-g.arrived
			res, _ := n.dial("other").get("/")
			got := res.Header.Get("fairlead-reason") == "rate_limited" // else it cannot connect
			if got != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}

// A tunnel that a request has made has no place.
func TestRule25_TunnelsHaveNoPlace(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		q, _, ok := p.request()
		if ok && q.Header.Get("Upgrade") != "" {
			p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(p, p.r)
		} else if ok {
			p.ok("fine")
		}
	}), toAny(running(policy.Concurrency{Max: 1, Scope: policy.SharePod})))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 101 {
		t.Fatalf("got %d", res.StatusCode)
	}
	poll(t, func() bool { return w.rejectedFor("/") == "" })
}
