package proxy

import (
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// countConns is an upstream that answers every request and counts its connections.
func countConns(extra string) (up func(int, *peer), conns *atomic.Int64) {
	conns = &atomic.Int64{}
	return func(_ int, p *peer) {
		conns.Add(1)
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			p.send("HTTP/1.1 200 OK\r\n" + extra + "Content-Length: 2\r\n\r\nok")
		}
	}, conns
}

// A server says how long it keeps idle connections: one that it is about to close is not used.
func TestRule25_KeepAliveHintsAreHeeded(t *testing.T) {
	for name, tc := range map[string]struct {
		field string
		want  int64
	}{
		"a second":   {"Keep-Alive: timeout=1\r\nConnection: keep-alive\r\n", 3}, // less a second: not at all
		"an hour":    {"Keep-Alive: timeout=3600\r\nConnection: keep-alive\r\n", 1},
		"not a word": {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			up, conns := countConns(tc.field)
			w := build(t, serve(t, up), toAny(nil))
			c := w.dial()
			for range 3 {
				c.get("/")
			}
			if n := conns.Load(); n != tc.want {
				t.Errorf("%d connections, want %d", n, tc.want)
			}
		})
	}
}

// What must not be sent twice goes out on a connection that has just proved alive, or on a new one: here, one that the same client
// used last.
func TestRule25_UnsafeMethodsTakeProvenConnections(t *testing.T) {
	up, conns := countConns("")
	w := build(t, serve(t, up), toAny(nil))
	mine, other := w.dial(), w.dial()
	mine.get("/")
	mine.pause(600 * time.Millisecond) // longer than a connection counts as proven for everybody
	post := func(c *client) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		c.response("POST")
	}
	post(mine)
	if n := conns.Load(); n != 1 {
		t.Fatalf("%d connections: the client's own was not used", n)
	}
	mine.pause(600 * time.Millisecond)
	other.get("/")
	if n := conns.Load(); n != 1 {
		t.Fatalf("%d connections: a safe method needs none of its own", n)
	}
	other.pause(600 * time.Millisecond)
	post(mine)
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections: one that another client used last was trusted", n)
	}
}

// The pool hears of failures, so that calls go elsewhere for a while.
func TestFailuresCountForBalancing(t *testing.T) {
	bad, good := atomic.Int64{}, atomic.Int64{}
	failing := counted(t, &bad, always(answer(503, "")))
	fine := counted(t, &good, always(answer(200, "fine")))
	w := build(t, fine, toAny(nil))
	w.serviceOf(func(s *policy.Settings) { s.LoadBalancing = policy.LeastRequest; s.Retry.MaxRetries = 0 }, failing, fine)
	c := w.dial()
	const calls = 200
	for range calls {
		c.get("/")
	}
	if bad.Load() > calls/5 {
		t.Errorf("%d of %d calls went to the endpoint that fails", bad.Load(), calls)
	}
	w.seen.await(t, calls)
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.OK {
		t.Errorf("%+v", e.Outcome)
	}
}
