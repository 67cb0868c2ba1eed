package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

//enforces:http1 retry.hedging.delay retry.hedging.maxHedges
func TestRule17_ASlowAttemptGetsAnotherBesideIt(t *testing.T) {
	for name, most := range map[string]int{"one": 1, "two": 2, "three": 3} {
		t.Run(name, func(t *testing.T) {
			a := newArrivals(most + 1)
			w := build(t, serve(t, hedgeServer(a, saying("won"))), toAny(hedges(afterDelay(most))))
			c := w.warmed()
			if res, body := c.get("/"); res.StatusCode != 200 || body != "won" {
				t.Fatalf("got %d %q", res.StatusCode, body)
			}
			poll(t, func() bool { return a.ended.Load() == int64(most) })
			if a.count() != most+1 {
				t.Errorf("%d attempts have come, want %d", a.count(), most+1)
			}
			e := w.seen.lastCall(t)
			if o := e.Outcome; o.Hedges != most || !o.HedgeWon || o.Decision != call.Recovered || o.Attempts != most+1 {
				t.Errorf("outcome %+v", o)
			}
			superseded := 0
			for _, at := range e.Attempts {
				if at.Kind == call.Superseded {
					superseded++
				}
			}
			if superseded != most {
				t.Errorf("%d of %+v lost", superseded, e.Attempts)
			}
		})
	}
}

func TestRule17_TheFirstAttemptMayWin(t *testing.T) {
	a := newArrivals(2)
	w := build(t, serve(t, func(_ int, p *peer) {
		_, _, first, ok := p.attemptOf()
		if !ok {
			return
		}
		if a.next(); first && a.wins() {
			p.ok("first")
			_, _ = p.r.ReadByte()
			return
		}
		_, _ = p.r.ReadByte()
		a.ended.Add(1)
	}), toAny(hedges(afterDelay(1))))
	c := w.warmed()
	if _, body := c.get("/"); body != "first" {
		t.Fatalf("got %q", body)
	}
	poll(t, func() bool { return a.ended.Load() == 1 })
	if o := w.seen.lastCall(t).Outcome; o.Hedges != 1 || o.HedgeWon {
		t.Errorf("outcome %+v", o)
	}
}

// A bad answer waits for the other; if that is no better it is what the client gets.
func TestRule17_ABadAnswerWaitsForTheOther(t *testing.T) {
	for name, tc := range map[string]struct {
		hedge string // what it is answered, while the first waits
		first string
		want  int
	}{
		"which is good":   {answer(503, "hedge"), answer(200, "first"), 200},
		"which is bad":    {answer(503, "hedge"), answer(502, "first"), 502},
		"which is none":   {answer(503, "hedge"), "", 503},
		"which came last": {"", answer(200, "first"), 200},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			answered := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				for {
					if _, _, ok := p.request(); !ok {
						return
					}
					out, which := tc.first, n.Add(1)
					if which > 1 {
						out = tc.hedge
					} else {
						<-answered
					}
					if out == "" {
						return
					}
					p.send(out)
					if which > 1 {
						return
					}
				}
			}), toAny(hedges(afterDelay(1), func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.ServerError), 1
			})))
			c := w.dial()
			c.send(aGET)
			w.seen.awaitAttempts(t, 1)
			close(answered)
			if res, _ := c.response("GET"); res.StatusCode != tc.want {
				t.Errorf("got %d, want %d", res.StatusCode, tc.want)
			}
			if n.Load() != 2 {
				t.Errorf("%d attempts", n.Load())
			}
		})
	}
}

// Never for what must not be repeated, or cannot.
func TestRule17_WhatIsNotHedged(t *testing.T) {
	for name, tc := range map[string]struct {
		request string
		set     func(*policy.Settings)
	}{
		"an unsafe method":        {request: aPOST},
		"a body that is not kept": {request: "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", set: func(s *policy.Settings) { s.Retry.BodyMaxBytes = 1 }},
		"no budget":               {request: aGET, set: func(s *policy.Settings) { s.Retry.Budget = policy.Budget{Window: time.Second} }},
		"no retries":              {request: aGET, set: func(s *policy.Settings) { s.Retry.MaxRetries = 0 }},
		"an answer in time":       {request: aGET, set: func(s *policy.Settings) { s.Retry.Hedging.Delay = time.Hour }},
		"no place in the pool":    {request: aGET, set: func(s *policy.Settings) { s.Pool.MaxConnections, s.Pool.PendingTimeout = 1, time.Hour }},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, func(*http.Request) string { waitFor("/100"); return answer(200, "") }), toAny(hedges(afterDelay(1), func(s *policy.Settings) {
				if tc.set != nil {
					tc.set(s)
				}
			})))
			c := w.dial()
			c.send(tc.request)
			if res, _ := c.response("GET"); res.StatusCode != 200 || n.Load() != 1 {
				t.Errorf("got %d after %d attempts", res.StatusCode, n.Load())
			}
			if o := w.seen.lastCall(t).Outcome; o.Hedges != 0 || o.Decision != call.NotNeeded {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// Bodies are sent again from memory, whichever way they came.
func TestRule17_HedgesCarryTheBody(t *testing.T) {
	large := strings.Repeat("x", 40_000)
	for name, request := range map[string]string{
		"with the head": "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"chunked":       "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"large":         "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + large,
	} {
		t.Run(name, func(t *testing.T) {
			echo := func(_ *http.Request, body string) string { return answer(200, body) }
			w := build(t, serve(t, hedgeServer(newArrivals(2), echo)), toAny(hedges(afterDelay(1))))
			c := w.warmed()
			c.send(request)
			_, body := c.response("PUT")
			if want := map[bool]string{true: large, false: "hello"}[name == "large"]; body != want {
				t.Errorf("got %d bytes, want %d", len(body), len(want))
			}
		})
	}
}

// A body that is on its way is not hedged until it has come.
func TestRule17_AHedgeWaitsForTheBody(t *testing.T) {
	a := newArrivals(2)
	w := build(t, serve(t, hedgeServer(a, func(_ *http.Request, body string) string { return answer(200, body) })), toAny(hedges(afterDelay(1))))
	c := w.warmed()
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	c.pause(3 * hedgeDelay)
	c.send("world")
	if _, body := c.response("PUT"); body != "helloworld" || a.count() != 2 {
		t.Errorf("got %q after %d attempts", body, a.count())
	}
}

// An attempt that fails leaves the other one alone, and when both have failed the call is retried.
func TestRule17_AFailureLeavesTheOther(t *testing.T) {
	var n atomic.Int64
	second, failed := make(chan struct{}), make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		switch n.Add(1) {
		case 1:
			<-second // and the connection ends
		case 2:
			close(second)
			<-failed
		default:
			p.ok("third")
		}
	}), toAny(hedges(afterDelay(1), func(s *policy.Settings) { s.Retry.On = policy.Of(policy.Reset) })))
	c := w.dial()
	c.send(aGET)
	w.seen.awaitAttempts(t, 1)
	close(failed)
	if _, body := c.response("GET"); body != "third" || n.Load() != 3 {
		t.Errorf("got %q after %d attempts", body, n.Load())
	}
}

// The client's departure ends them all, and is nobody's failure.
func TestRule04_AClientThatLeavesEndsAllAttempts(t *testing.T) {
	a := newArrivals(3)
	w := build(t, serve(t, hedgeServer(a, nil)), toAny(hedges(afterDelay(2))))
	c := w.dial()
	c.send(aGET)
	poll(t, func() bool { return a.count() == 3 })
	c.Close()
	poll(t, func() bool { return a.ended.Load() == 3 })
	e := w.seen.lastCall(t)
	if e.Outcome.Kind != call.ClientGone {
		t.Errorf("outcome %+v", e.Outcome)
	}
	for _, at := range e.Attempts {
		if at.Kind != call.ClientGone {
			t.Errorf("an attempt has ended as %v", at.Kind)
		}
	}
}

func TestRule01_TheDeadlineEndsAllAttempts(t *testing.T) {
	inTime(t, func(delay time.Duration) bool {
		a := newArrivals(2)
		w := build(t, serve(t, hedgeServer(a, nil)), toAny(hedges(policy.Hedging{Max: 1, Delay: delay}, func(s *policy.Settings) {
			s.Timeouts.Overall = 5 * delay
		})))
		if res, _ := w.dial().get("/"); res.StatusCode != 504 || res.Header.Get("fairlead-reason") != "deadline" {
			t.Errorf("got %d %v", res.StatusCode, res.Header)
		}
		if a.count() < 2 {
			return false
		}
		poll(t, func() bool { return a.ended.Load() == 2 })
		return true
	})
}

// Each attempt has its own time, and one that is overdue leaves the other alone.
func TestRule02_AHedgeHasItsOwnTime(t *testing.T) {
	inTime(t, func(delay time.Duration) bool {
		gone := newBarrier()
		w := build(t, serve(t, func(_ int, p *peer) {
			_, _, first, ok := p.attemptOf()
			if !ok {
				return
			}
			if first {
				_, _ = p.r.ReadByte()
				gone.now()
				return
			}
			<-gone.C
			p.ok("hedge")
		}), toAny(hedges(policy.Hedging{Max: 1, Delay: 4 * delay}, func(s *policy.Settings) { s.Timeouts.PerTry = 5 * delay })))
		defer gone.now()
		c := w.dial()
		if !w.warms(c) {
			return false
		}
		res, body := c.get("/")
		if late := res.Header.Get("fairlead-reason") == "per_try_timeout"; late {
			return false
		}
		if body != "hedge" {
			t.Errorf("got %q", body)
		}
		return true
	})
}

// A hedge that is not answered ends after timeouts.responseHeader, like any attempt.
func TestRule02_AHedgeWaitsForItsResponseAsLongAsOthers(t *testing.T) {
	a := newArrivals(2)
	w := build(t, serve(t, hedgeServer(a, nil)), toAny(hedges(afterDelay(1), func(s *policy.Settings) {
		s.Timeouts.ResponseHeader = 500 * time.Millisecond
	})))
	if res, _ := w.dial().get("/"); res.StatusCode != 504 || res.Header.Get("fairlead-reason") != "per_try_timeout" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	poll(t, func() bool { return a.ended.Load() == 2 })
}

//enforces:http1 retry.hedging.percentile
func TestRule17_TheDelayFollowsTheLatency(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if n.Add(1); q.URL.Path == "/slow" && n.Load() == 21 {
				_, _ = p.r.ReadByte()
				return
			}
			p.ok("")
		}
	}), toAny(hedges(policy.Hedging{Max: 1, Percentile: 95})))
	c := w.dial()
	for range 20 {
		c.get("/")
	}
	if res, _ := c.get("/slow"); res.StatusCode != 200 || n.Load() != 22 {
		t.Errorf("got %d after %d attempts", res.StatusCode, n.Load())
	}
}

// A hedge that cannot be connected is no reason to end the call.
func TestRule17_AHedgeThatCannotBeConnectedLeavesTheOther(t *testing.T) {
	var n atomic.Int64
	hedged := make(chan struct{})
	w := build(t, counted(t, &n, func(*http.Request) string { <-hedged; return answer(200, "first") }), toAny(hedges(afterDelay(1))))
	w.dialer.most.Store(1)
	c := w.dial()
	c.send(aGET)
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 2 })
	close(hedged)
	if res, body := c.response("GET"); res.StatusCode != 200 || body != "first" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// Hedges go to other endpoints.
func TestRule17_AHedgeGoesElsewhere(t *testing.T) {
	var silent, quick atomic.Int64
	first := serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			silent.Add(1)
			_, _ = p.r.ReadByte() // until it is given up
		}
	})
	second := counted(t, &quick, always(answer(200, "elsewhere")))
	w := build(t, first)
	w.shop(hedges(afterDelay(1), func(s *policy.Settings) { s.LoadBalancing = policy.RoundRobin }), first, second)
	c := w.dial()
	for range 4 {
		if _, body := c.get("/"); body != "elsewhere" {
			t.Errorf("got %q", body)
		}
	}
	if silent.Load() == 0 || silent.Load()+quick.Load() < 5 {
		t.Errorf("%d and %d attempts", silent.Load(), quick.Load())
	}
}
