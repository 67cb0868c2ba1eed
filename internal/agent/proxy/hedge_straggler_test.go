package proxy

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
)

// pooled counts the idle connections to upstreams.
func (w *testProxy) pooled() (n int) {
	w.store.Stats(time.Now(), func(s routes.Stats) { n += s.Pool.Idle })
	return n
}

// taken counts the connections to upstreams that are in use or being made.
func (w *testProxy) taken() (n int) {
	w.store.Stats(time.Now(), func(s routes.Stats) { n += s.Pool.Active })
	return n
}

// An attempt that another was answered before leaves its connection behind if its answer comes soon: both serve the next calls.
func TestRule17_WhatIsAnsweredTooLateLeavesItsConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		late string // the answer that comes too late
		kept bool
	}{
		"short":         {answer(200, "late"), true},
		"a failure":     {answer(503, "late"), true},
		"interim first": {"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(200, "late"), true},
		"chunked":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlate\r\n0\r\n\r\n", true},
		"closing":       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate", false},
		"long":          {"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nlate", false},
		"more than one": {answer(200, "late") + answer(200, "unasked"), false},
		"no HTTP":       {"what?\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, won, ended := newArrivals(2), make(chan struct{}), make(chan struct{})
			w := buildWith(t, Options{stragglerFor: patience}, serve(t, func(_ int, p *peer) {
				_, _, first, ok := p.attemptOf()
				if !ok {
					return
				}
				a.next()
				if !first {
					<-a.come
					p.ok("won")
				} else {
					<-won
					p.send(tc.late)
				}
				for {
					if _, _, ok := p.request(); !ok {
						break
					}
					p.ok("again")
				}
				if first {
					close(ended)
				}
			}), toAny(hedges(afterDelay(1))))
			c := w.warmed()
			if _, body := c.get("/"); body != "won" {
				t.Fatalf("got %q", body)
			}
			poll(t, func() bool { return w.pooled() == 1 }) // that of the hedge
			close(won)
			if !tc.kept {
				<-ended
				return
			}
			poll(t, func() bool { return w.pooled() == 2 })
			for range 3 { // what became idle last is taken first
				if _, body := c.get("/"); body != "again" {
					t.Errorf("got %q, want what is said on the connections that are there", body)
				}
			}
		})
	}
}

// The connection that is being made for a hedge when its call is answered is for other calls, if it is there soon.
func TestRule17_AConnectionThatComesTooLateIsKept(t *testing.T) {
	for name, tc := range map[string]struct {
		patience time.Duration
		panics   bool
		kept     int
	}{
		"soon":    {patience: patience, kept: 2},
		"late":    {patience: 1, kept: 1},
		"a panic": {patience: patience, panics: true, kept: 1},
	} {
		t.Run(name, func(t *testing.T) {
			held, dialling := newBarrier(), newBarrier()
			defer held.now()
			defer dialling.now()
			w := buildWith(t, Options{stragglerFor: tc.patience}, serve(t, func(_ int, p *peer) {
				for {
					if _, _, _, ok := p.attemptOf(); !ok {
						return
					}
					<-dialling.C
					p.ok("first")
				}
			}), toAny(hedges(afterDelay(1))))
			c := w.warmed()
			w.dialer.held.Store(held)
			c.send(aGET)
			poll(t, func() bool { return w.dialer.dials.Load() == 2 })
			w.dialer.panics.Store(tc.panics)
			w.events.expectPanic.Store(tc.panics)
			dialling.now()
			if _, body := c.response("GET"); body != "first" {
				t.Fatalf("got %q", body)
			}
			if tc.kept == 2 || tc.panics {
				poll(t, func() bool { return w.pooled() == 1 })
				held.now()
			}
			poll(t, func() bool { return w.pooled() == tc.kept && w.taken() == 0 })
			if n := w.events.panics.Load(); n != 0 != tc.panics {
				t.Errorf("%d panics are reported", n)
			}
			if seen := w.seen.lastCall(t); len(seen.Attempts) != 1 || seen.Outcome.Hedges != 1 {
				t.Errorf("%+v", seen)
			}
		})
	}
}
