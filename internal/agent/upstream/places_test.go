package upstream

import (
	"syscall"
	"testing"
	"time"
)

// Connects to an endpoint that fail together are one piece of news about it, however many callers there were.
func TestConnectsThatFailTogetherCountOnce(t *testing.T) {
	p, d := newPool(t, nil, addresses(1)...)
	d.err = syscall.ECONNREFUSED
	tickets := []*Request{ticket(), ticket(), ticket()}
	for _, tk := range tickets {
		if p.Acquire(tk) != Granted {
			t.Fatal("not granted")
		}
	}
	now := time.Now()
	for _, tk := range tickets {
		p.dialFailed(tk.at, FailureOf(d.err), now)
	}
	if h := tickets[0].at.health; h == nil || h.downFor != leastDown {
		t.Errorf("health %+v", h)
	}
}

// A connection that was taken and put back unused has served nobody.
func TestRule25_AConnectionTakenInVainHasServedNobody(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, nil, s.addr)
	first := ticket()
	first.Client = 1
	c := take(t, p, first)
	c.Release(true, time.Now().Add(-2*provenFor))
	careful := ticket()
	careful.Client, careful.Careful = 2, true
	if p.Acquire(careful) != Granted || p.Redeem(careful, time.Now()) != nil {
		t.Fatal("the careful call takes it")
	}
	p.Cancel(careful)
	again := take(t, p, ticket())
	if again != c || again.uses != 2 {
		t.Errorf("another: %v, uses %d", again != c, again.uses)
	}
	again.Release(false, time.Now())
}

// A connection that was kept for somebody who waits, but cannot use it, is one too many if none may be kept.
func TestRule25_WhatAWaiterCannotUseIsNotKept(t *testing.T) {
	a, b := listen(t), listen(t)
	p, _ := newPool(t, func(o *Options) {
		o.Limits.MaxIdlePerEndpoint, o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending = 0, 1, 1
	})
	pinned := func(s *server) *Request {
		tk := ticket()
		tk.Original, tk.Pinned = s.addr, true
		return tk
	}
	c, held, waiting := take(t, p, pinned(a)), take(t, p, pinned(b)), pinned(b)
	if p.Acquire(waiting) != Queued {
		t.Fatal("not queued")
	}
	c.Release(true, time.Now())
	if got := p.Stats(); got.Idle != 0 || got.Waiting != 1 {
		t.Errorf("stats %+v", got)
	}
	held.Release(false, time.Now())
	p.Cancel(waiting)
}
