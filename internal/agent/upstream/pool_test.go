package upstream

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

func TestRule25_IdleConnectionsAreTakenNewestFirst(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	a, b := take(t, p, request()), take(t, p, request())
	now := time.Now()
	a.Release(now, true)
	b.Release(now, true)
	if c := take(t, p, request()); c.Conn != b.Conn || !c.Reused() {
		t.Error("the newest was not taken")
	}
	if c := take(t, p, request()); c.Conn != a.Conn {
		t.Error("the other was not taken")
	}
	if d.dials.Load() != 2 {
		t.Errorf("%d dials", d.dials.Load())
	}
}

func TestRule25_DeadIdleConnectionsAreNotReused(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, nil, s.addr)
	a, b := take(t, p, request()), take(t, p, request())
	old := time.Now().Add(-time.Second)
	a.Release(old, true)
	b.Release(old, true)
	eventually(t, func() bool { return s.open.Load() == 2 }) // accepted
	s.closeAll()
	eventually(t, func() bool { return s.open.Load() == 0 && departed(a) && departed(b) })
	c := take(t, p, request())
	if c.Conn == a.Conn || c.Conn == b.Conn || c.Reused() {
		t.Error("a dead connection was taken")
	}
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v", got)
	}
	c.Release(time.Now(), true)
}

func TestRule25_IdleConnectionsAreClosedInTime(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *setup) { o.Limits.IdleTimeout = time.Minute }, s.addr)
	now := time.Now()
	a, b := take(t, p, request()), take(t, p, request())
	a.Release(now, true)
	b.Release(now.Add(30*time.Second), true)
	p.sweep(now.Add(61 * time.Second))
	if got := p.Stats(); got != (Stats{Idle: 1}) {
		t.Errorf("stats %+v", got)
	}
	p.sweep(now.Add(91 * time.Second))
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

func TestRule25_WaitersAreServedInOrder(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, request())
	waiting := []*asking{request(), request(), request()}
	for _, w := range waiting {
		if a := w.ask(p); a != Parked {
			t.Fatalf("answer %d, want Parked", a)
		}
	}
	for i, w := range waiting {
		c.Release(time.Now(), true)
		<-w.woken
		for _, later := range waiting[i+1:] {
			if len(later.woken) > 0 {
				t.Fatal("a later waiter was served as well")
			}
		}
		if got := redeem(t, p, w); got.Conn != c.Conn {
			t.Fatal("another connection was made")
		}
	}
}

func TestRule25_TheQueueIsBounded(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections, o.Limits.MaxPending = 1, 1 }, listen(t).addr)
	c := take(t, p, request())
	first, second := request(), request()
	if a := first.ask(p); a != Parked {
		t.Fatalf("answer %d", a)
	}
	if a := second.ask(p); a != Overflow {
		t.Fatalf("answer %d, want Overflow", a)
	}
	first.cancel(p)
	if a := second.ask(p); a != Parked {
		t.Fatalf("answer %d, want the place back", a)
	}
	second.cancel(p)
	c.Release(time.Now(), false)
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

// A grant that nobody wants any more goes to the next in line.
func TestRule25_AForgottenGrantIsPassedOn(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, request())
	first, second := request(), request()
	first.ask(p)
	second.ask(p)
	c.Release(time.Now(), false) // first may dial
	first.cancel(p)
	<-second.woken
	c = redeem(t, p, second)
	third, fourth := request(), request()
	third.ask(p)
	fourth.ask(p)
	c.Release(time.Now(), true) // third has the connection
	third.cancel(p)
	<-fourth.woken
	if redeem(t, p, fourth).Conn != c.Conn {
		t.Error("the connection was lost")
	}
	if len(first.woken)+len(third.woken) > 0 {
		t.Error("the owner of a request that was given up is still woken")
	}
}

func TestAFailedDialFreesItsPlace(t *testing.T) {
	p, d := newPool(t, func(o *setup) { o.Limits.MaxConnections = 1 }, netip.MustParseAddrPort("127.0.0.1:1"))
	d.err = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for range 3 {
		r := request()
		if a := r.ask(p); a != Dial {
			t.Fatalf("answer %d", a)
		}
		if _, err := p.Dial(t.Context(), &r.Request); FailureOf(err) != call.ConnectFailed {
			t.Fatalf("got %v", err)
		}
	}
}

func TestConnectionsWearOut(t *testing.T) {
	p, d := newPool(t, func(o *setup) {
		o.Limits.MaxRequestsPerConnection, o.Limits.MaxLifetime = 2, time.Hour
	}, listen(t).addr)
	now := time.Now()
	for range 4 {
		take(t, p, request()).Release(now, true)
	}
	if d.dials.Load() != 2 {
		t.Errorf("%d dials for 4 calls of 2 each", d.dials.Load())
	}
	take(t, p, request()).Release(now.Add(2*time.Hour), true)
	if got := p.Stats(); got.Idle != 0 {
		t.Error("a connection outlived its time")
	}
}

func TestFreshRequestsGetNewConnections(t *testing.T) {
	p, d := newPool(t, func(o *setup) { o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint = 2, 1 }, listen(t).addr)
	a := take(t, p, request())
	a.Release(time.Now(), true)
	r := request()
	r.Fresh = true
	b := take(t, p, r)
	if a.Conn == b.Conn || d.dials.Load() != 2 {
		t.Error("the kept connection was taken")
	}
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v: the kept connection should have made room", got)
	}
	b.Release(time.Now(), true)
}

func TestPinnedRequestsAndUnknownEndpoints(t *testing.T) {
	endpoints := addresses(3)
	elsewhere := netip.MustParseAddrPort("127.9.9.9:99")
	p, _ := newPool(t, nil, endpoints...)
	r := request()
	r.Original, r.Pinned = elsewhere, true
	if r.ask(p); r.peer() != elsewhere {
		t.Errorf("pinned: got %v", r.peer())
	}
	r.cancel(p)
	setHosts(p)
	r.Pinned = false
	if r.ask(p); r.peer() != elsewhere {
		t.Errorf("no endpoints: got %v", r.peer())
	}
	r.cancel(p)
	p.sweep(time.Now())
	if len(p.unlisted) != 0 {
		t.Errorf("%d addresses are remembered", len(p.unlisted))
	}
}

func TestEndpointsThatGoAreLetFinish(t *testing.T) {
	s1, s2 := listen(t), listen(t)
	p, _ := newPool(t, nil, s1.addr)
	idle, busy := take(t, p, request()), take(t, p, request())
	idle.Release(time.Now(), true)
	setHosts(p, s2.addr)
	p.sweep(time.Now())
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v", got)
	}
	if _, err := busy.TryWrite([]byte("x")); err != nil {
		t.Errorf("the call in flight was cut: %v", err)
	}
	busy.Release(time.Now(), true)
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v: a connection to an endpoint that is gone was kept", got)
	}
	if c := take(t, p, request()); c.Peer() != s2.addr {
		t.Error("the new endpoint is not used")
	}
}

func TestAClosedPoolKeepsNothing(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	a := take(t, p, request())
	p.Close()
	a.Release(time.Now(), true)
	take(t, p, request()).Release(time.Now(), true)
	if got := p.Stats(); got != (Stats{}) || d.dials.Load() != 2 {
		t.Errorf("stats %+v, %d dials", got, d.dials.Load())
	}
}
