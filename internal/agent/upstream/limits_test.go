package upstream

import (
	"syscall"
	"testing"
	"time"
)

// Connects to an endpoint that fail together count once, however many callers there were.
func TestConnectsThatFailTogetherCountOnce(t *testing.T) {
	p, d := newPool(t, nil, addresses(1)...)
	d.err = syscall.ECONNREFUSED
	requests := []*asking{request(), request(), request()}
	for _, r := range requests {
		if r.ask(p) != Dial {
			t.Fatal("not granted")
		}
	}
	now := time.Now()
	for _, r := range requests {
		p.dialFailed(now, &r.Request, d.err)
	}
	if o := requests[0].to.outage; o.lasts != minOutage {
		t.Errorf("outage %+v", o)
	}
	if w := requests[0].Host().failures.weightAt(now); w != 1.0/failureMemory {
		t.Errorf("the refused connects weigh %v, want what one does", w)
	}
}

// A connection that was taken and put back unused has served nobody.
func TestRule25_AConnectionTakenInVainHasServedNobody(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, nil, s.addr)
	first := request()
	first.Client = 1
	c := take(t, p, first)
	c.Release(time.Now().Add(-2*provenFor), true)
	careful := request()
	careful.Client, careful.Careful = 2, true
	if careful.ask(p) != Dial {
		t.Fatal("the careful call takes it")
	}
	careful.cancel(p)
	again := take(t, p, request())
	if again.Conn != c.Conn || again.uses != 2 {
		t.Errorf("another: %v, uses %d", again.Conn != c.Conn, again.uses)
	}
	again.Release(time.Now(), false)
}

// A connection that was kept for somebody who waits, but cannot use it, is one too many if none may be kept.
func TestRule25_WhatAWaiterCannotUseIsNotKept(t *testing.T) {
	a, b := listen(t), listen(t)
	p, _ := newPool(t, func(o *setup) {
		o.Limits.MaxIdlePerEndpoint, o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending = 0, 1, 1
	})
	pinned := func(s *server) *asking {
		r := request()
		r.Original, r.Pinned = s.addr, true
		return r
	}
	c, held, waiting := take(t, p, pinned(a)), take(t, p, pinned(b)), pinned(b)
	if waiting.ask(p) != Parked {
		t.Fatal("not queued")
	}
	c.Release(time.Now(), true)
	if got := p.Stats(); got.Idle != 0 || got.Waiting != 1 {
		t.Errorf("stats %+v", got)
	}
	held.Release(time.Now(), false)
	waiting.cancel(p)
}
