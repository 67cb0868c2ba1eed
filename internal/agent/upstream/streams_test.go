package upstream

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// shared is a request of a kind that shares connections.
func shared() *asking {
	r := request()
	r.Multiplexed = true
	return r
}

// multiplexed takes a connection that can carry n exchanges, with one under way.
func multiplexed(t *testing.T, p *Pool, n int) Lease {
	t.Helper()
	r := shared()
	r.Fresh = true
	l := take(t, p, r)
	l.SetCapacity(n)
	return l
}

func TestAConnectionIsSharedUpToItsCapacity(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	leases := []Lease{multiplexed(t, p, 3)}
	for range 2 {
		l := take(t, p, shared())
		if l.Conn != leases[0].Conn || !l.Reused() {
			t.Error("another connection was made")
		}
		leases = append(leases, l)
	}
	if leases[0].Reused() {
		t.Error("the first exchange was alone on a new connection")
	}
	full := take(t, p, shared())
	if full.Conn == leases[0].Conn || d.dials.Load() != 2 {
		t.Error("a full connection was shared")
	}
	if got := p.Stats(); got != (Stats{Active: 2}) {
		t.Errorf("stats %+v: connections count, not exchanges", got)
	}
	if n := leases[0].to.host.outstanding.Load(); n != 4 {
		t.Errorf("%d calls are under way, want 4", n)
	}
	now := time.Now()
	leases[1].Release(now, true)
	if again := take(t, p, shared()); again.Conn != leases[0].Conn {
		t.Error("the free place was not used")
	} else {
		again.Release(now, true)
	}
	checkSums(t, p)
	leases[0].Release(now, true)
	leases[2].Release(now, true)
	full.Release(now, true)
	if got := p.Stats(); got != (Stats{Idle: 2}) {
		t.Errorf("stats %+v", got)
	}
	checkSums(t, p)
}

// Its driver knows whether it is fit: what its server sends of itself is no reason not to use it.
func TestAMultiplexedConnectionIsNotLookedAt(t *testing.T) {
	s := listen(t)
	p, d := newPool(t, nil, s.addr)
	l := multiplexed(t, p, 2)
	eventually(t, func() bool { return s.open.Load() == 1 })
	s.say(t, "a frame")
	eventually(t, func() bool { return l.Peek() != 0 })
	l.Release(time.Now(), true)
	p.sweep(time.Now())
	again := shared()
	if again.askAt(p, time.Now().Add(2*provenFor)) != Ready || again.lease.Conn != l.Conn || d.dials.Load() != 1 {
		t.Error("it was not used again")
	}
	again.lease.Release(time.Now(), false)
}

func TestADrainingConnectionTakesNoMoreExchanges(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, nil, s.addr)
	first := multiplexed(t, p, 10)
	second := take(t, p, shared())
	first.Drain()
	third := take(t, p, shared())
	if second.Conn != first.Conn || third.Conn == first.Conn {
		t.Error("an exchange began on a connection that drains")
	}
	first.Release(time.Now(), true)
	if _, err := second.TryWrite([]byte("x")); err != nil {
		t.Errorf("an exchange under way was cut: %v", err)
	}
	second.Release(time.Now(), true)
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v: it should be closed", got)
	}
	third.SetCapacity(10)
	third.Release(time.Now(), true)
	third.Drain() // while it is idle
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v: it should be closed at once", got)
	}
	eventually(t, func() bool { return s.open.Load() == 0 })
	checkSums(t, p)
}

// One exchange that says that the connection is not fit any more, a limit that was lowered, a host that has gone, a pool that was
// closed: others under way end well.
func TestASharedConnectionIsGivenUpWithItsLastExchange(t *testing.T) {
	for name, happens := range map[string]func(p *Pool, l Lease){
		"not fit":          func(_ *Pool, l Lease) { l.Release(time.Now(), false) },
		"its host is gone": func(p *Pool, l Lease) { setHosts(p, addresses(1)...); l.Release(time.Now(), true) },
		"worn out": func(p *Pool, l Lease) {
			limits := p.limits
			limits.MaxLifetime = 1
			p.Reconfigure(limits)
			l.Release(time.Now(), true)
		},
		"the pool is closed": func(p *Pool, l Lease) { p.Close(); l.Release(time.Now(), true) },
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, nil, listen(t).addr)
			a := multiplexed(t, p, 3)
			b := take(t, p, shared())
			happens(p, a)
			if _, err := b.TryWrite([]byte("x")); err != nil {
				t.Errorf("the other exchange was cut: %v", err)
			}
			r := shared()
			if r.ask(p) == Ready {
				t.Error("a new exchange began on it")
			}
			r.cancel(p)
			b.Release(time.Now(), true)
			if got := p.Stats(); got != (Stats{}) {
				t.Errorf("stats %+v", got)
			}
			checkSums(t, p)
		})
	}
}

// A request that is parked is served when a connection turns out to carry more, and MaxRequestsPerConnection holds.
func TestCapacityServesWhoIsParked(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections, o.Limits.MaxRequestsPerConnection = 1, 3 }, listen(t).addr)
	l := take(t, p, shared())
	waiting := []*asking{shared(), shared(), shared()}
	for _, w := range waiting {
		if w.ask(p) != Parked {
			t.Fatal("not parked")
		}
	}
	l.SetCapacity(100)
	for _, w := range waiting[:2] {
		<-w.woken
		if got := redeem(t, p, w); got.Conn != l.Conn {
			t.Error("another connection")
		} else {
			defer got.Release(time.Now(), true)
		}
	}
	if len(waiting[2].woken) > 0 {
		t.Error("the connection took more exchanges than it may serve")
	}
	waiting[2].cancel(p)
	l.Release(time.Now(), true)
}

// Connections of any capacity, used, drained and given up at random.
func TestCapacityHoldsUnderConcurrency(t *testing.T) {
	const most = 4
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections, o.Limits.MaxPending = 3, 1000 }, listen(t).addr, listen(t).addr)
	var mu sync.Mutex
	busy := map[*Conn]int{}
	count := func(c *Conn, by int) {
		mu.Lock()
		defer mu.Unlock()
		if busy[c] += by; busy[c] > most {
			t.Errorf("%d exchanges on one connection", busy[c])
		}
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			random, r := rand.New(rand.NewPCG(5, uint64(g))), shared()
			for range 200 {
				r.Fresh = random.IntN(10) == 0
				a := r.ask(p)
				if a == Parked || a == Joined {
					<-r.woken
					a, r.lease = p.Redeem(time.Now(), &r.Request)
				}
				l := r.lease
				if a == Dial {
					l = dial(t, p, r)
					l.SetCapacity(1 + random.IntN(most))
				}
				count(l.Conn, 1)
				if random.IntN(20) == 0 {
					l.Drain()
				}
				count(l.Conn, -1)
				l.Release(time.Now(), random.IntN(20) > 0)
			}
		})
	}
	wg.Wait()
	checkSums(t, p)
	if got := p.Stats(); got.Active != 0 || got.Waiting != 0 || got.Idle > 3 {
		t.Errorf("stats %+v", got)
	}
}
