package proxy

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// RFC 9112 section 9.2: "A client that receives a response on a connection without an outstanding request MUST NOT associate that
// response with a request". Bytes that came unasked are never an answer, wherever they lie.
func TestRule25_UnaskedBytesAreNeverAnAnswer(t *testing.T) {
	const unasked = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked"
	large := strings.Repeat("x", 100<<10)
	for name, tc := range map[string]struct{ method, answer, late string }{
		"in the same segment":     {"GET", answer(200, "asked") + unasked, ""},
		"behind a large body":     {"GET", answer(200, large) + unasked, ""},
		"behind a full buffer":    {"GET", answer(200, strings.Repeat("x", 4096-len(answer(200, strings.Repeat("x", 4000)))+4000)) + unasked, ""},
		"as the content of a 204": {"GET", "HTTP/1.1 204 No Content\r\n\r\n" + unasked, ""},
		"as the content of HEAD":  {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked" + unasked, ""},
		"in a later segment":      {"GET", answer(200, "asked"), unasked},
		"behind a chunked body":   {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nasked\r\n0\r\n\r\n" + unasked, ""},
		"an empty line":           {"GET", answer(200, "asked") + "\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{})
			w := build(t, serve(t, func(n int, p *peer) {
				if n > 0 {
					echo(n, p)
					return
				}
				if _, _, ok := p.request(); ok {
					p.send(tc.answer)
					if tc.late != "" {
						w := time.NewTimer(time.Millisecond)
						<-w.C // so that it comes when the answer has been read
						p.send(tc.late)
					}
					p.delivered(t)
					close(sent)
					_, _, _ = p.request()
				}
			}), toAny(nil))
			c := w.dial()
			c.send(tc.method + " /1 HTTP/1.1\r\nHost: a\r\n\r\n")
			c.response(tc.method)
			if tc.late != "" {
				<-sent
			}
			for range 2 {
				if res, body := w.dial().get("/2"); body != "GET /2 " {
					t.Fatalf("another client got %d %q", res.StatusCode, body)
				}
			}
			if _, body := c.get("/3"); body != "GET /3 " {
				t.Fatalf("got %q", body)
			}
			if e := w.seen.lastCall(t); e.Outcome.Attempts != 1 {
				t.Errorf("outcome %+v: found out by a failed attempt", e.Outcome)
			}
		})
	}
}

// Where the client chose the address, what ends its connection without a proxy ends it here, so that it looks the name up again.
func TestRule25_APinnedConnectionEndsWithItsServer(t *testing.T) {
	quiet := func(p *peer) { p.request(); _, _, _ = p.request() }
	for name, tc := range map[string]struct {
		upstream func(*peer) // nil: it cannot be reached
		status   int
	}{
		"502":     {nil, 502},
		"504":     {quiet, 504},
		"a reset": {func(p *peer) { p.request(); _ = p.SetLinger(0) }, 502},
		"the server's close": {func(p *peer) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}, 200},
		"a server of 1.0":     {func(p *peer) { p.request(); p.send("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n") }, 200},
		"until close":         {func(p *peer) { p.request(); p.send("HTTP/1.1 200 OK\r\n\r\nx") }, 200},
		"a server that stays": {func(p *peer) { p.request(); p.send(answer(200, "")); p.request() }, 0},
	} {
		for _, pinned := range []bool{true, false} {
			t.Run(name+"/pinned "+map[bool]string{true: "yes", false: "no"}[pinned], func(t *testing.T) {
				up := closedAddress(t)
				if tc.upstream != nil {
					up = serve(t, func(_ int, p *peer) { tc.upstream(p) })
				}
				change := func(s *policy.Settings) { s.Timeouts.PerTry = 300 * time.Millisecond }
				w := build(t, up, toAny(change))
				if !pinned {
					w.serviceOf(change)
				}
				c := w.dial()
				res, _ := c.get("/")
				if tc.status != 0 && res.StatusCode != tc.status {
					t.Fatalf("got %d", res.StatusCode)
				}
				ends := tc.status != 0 && (pinned || name == "until close")
				if res.Close != ends {
					t.Fatalf("close %v, want %v", res.Close, ends)
				}
				if ends {
					c.expectEnd()
				} else {
					c.get("/again")
				}
			})
		}
	}
}

// What the log can say of a call: where its attempts went, on what connections, and why they failed.
func TestACallReportsItsAttempts(t *testing.T) {
	w := build(t, serve(t, func(n int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		switch n {
		case 0:
			p.send(answer(503, ""))
		case 1:
			p.send("HTTP/1.1 banana\r\n\r\n")
		case 2:
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}
	}), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Pool.MaxIdlePerEndpoint = policy.Of(policy.GatewayError, policy.ConnectFailure, policy.Reset), 0
		s.Retry.MaxRetries = 5
	}))
	w.dialer.refuse.Store(1)
	c := w.dial()
	get(c)
	w.waitFor(t, func() bool { w.seen.mu.Lock(); defer w.seen.mu.Unlock(); return len(w.seen.calls) > 0 })
	e := w.seen.lastCall(t)
	want := []routes.Attempt{
		{Kind: call.ConnectFailed, Detail: routes.DetailRefused},
		{Status: 503, Start: call.Retry},
		{Kind: call.BadResponse, Start: call.Retry, Detail: "malformed status line"},
		{Status: 200, Start: call.Retry},
	}
	if len(e.Attempts) != len(want) {
		t.Fatalf("attempts %+v", e.Attempts)
	}
	for i, attempt := range e.Attempts {
		if attempt.Peer != w.original || attempt.Reused {
			t.Errorf("attempt %d went to %v, reused %v", i, attempt.Peer, attempt.Reused)
		}
		attempt.Took, attempt.Peer = 0, want[i].Peer
		if attempt != want[i] {
			t.Errorf("attempt %d: %+v, want %+v", i, attempt, want[i])
		}
	}
	if !e.Outcome.Truncated || e.Detail != routes.DetailClosed {
		t.Errorf("truncated %v, detail %q", e.Outcome.Truncated, e.Detail)
	}
}

// Of a call with many attempts only the first are reported one by one.
func TestReportedAttemptsAreBounded(t *testing.T) {
	w := build(t, closedAddress(t), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.ConnectFailure), 2*routes.MaxAttempts
	}))
	w.dial().get("/")
	if e := w.seen.lastCall(t); len(e.Attempts) != routes.MaxAttempts || e.Outcome.Attempts != 2*routes.MaxAttempts+1 {
		t.Errorf("%d of %d", len(e.Attempts), e.Outcome.Attempts)
	}
}

// A server that has said anything to a request was alive: what comes of it then is no matter of a connection that was kept too long,
// and repeated only if the policy says so.
func TestRule08_AnInterimResponseShowsThatTheServerWasThere(t *testing.T) {
	for name, tc := range map[string]struct{ interim, version string }{
		"100": {"HTTP/1.1 100 Continue\r\n\r\n", "1.1"}, "102 to a client of 1.0": {"HTTP/1.1 102 Processing\r\n\r\n", "1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, serve(t, func(_ int, p *peer) {
				p.request()
				p.ok("")
				if _, _, ok := p.request(); ok {
					n.Add(1)
					p.send(tc.interim)
					p.delivered(t)
				}
			}), toAny(nil))
			w.serviceOf(nil)
			c := w.dial()
			c.get("/1")
			c.send("GET /2 HTTP/" + tc.version + "\r\nHost: a\r\n\r\n")
			res, _ := c.response("GET")
			for res.StatusCode < 200 {
				res, _ = c.response("GET")
			}
			if res.StatusCode != 502 || n.Load() != 1 {
				t.Errorf("got %d after %d attempts", res.StatusCode, n.Load())
			}
			if e := w.seen.lastCall(t); e.Outcome.Attempts != 1 {
				t.Errorf("outcome %+v", e.Outcome)
			}
		})
	}
}

// A connection whose kept answer was followed by something unasked does not serve the retry.
func TestRule25_WhatFollowsAKeptAnswerIsNoticed(t *testing.T) {
	w := build(t, serve(t, func(n int, p *peer) {
		if n > 0 {
			echo(n, p)
			return
		}
		p.request()
		p.send(answer(503, "busy") + "HTTP/1.1 200 OK\r\nContent-Le")
		if _, _, ok := p.request(); ok {
			t.Error("the connection was used again")
		}
	}), toAny(retryOn(policy.GatewayError)))
	w.serviceOf(retryOn(policy.GatewayError))
	if res, body := w.dial().get("/"); body != "GET / " {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// A server that has said when it ends an idle connection is taken at its word: by then the client has heard of the end too.
func TestRule25_APinnedConnectionEndsWhenItsServerSaidSo(t *testing.T) {
	w := build(t, serve(t, toEach(func(p *peer) { p.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n") })), toAny(nil))
	c := w.dial()
	c.get("/")
	if b, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("byte %q, %v, want the end", b, err)
	}
}
