package upstream

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many goroutines take, keep, drop and give up at random, while the hosts are changed under them. The bounds hold as the server
// sees them, and in the end nothing is left over.
func TestBoundsHoldUnderConcurrency(t *testing.T) {
	s1, s2 := listen(t), listen(t)
	p, _ := newPool(t, func(o *setup) {
		o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending, o.Limits.MaxIdlePerEndpoint = 8, 5, 1000, 3
	}, s1.addr, s2.addr)
	u := &users{pool: p, avoid: s1.addr}
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			random, r := rand.New(rand.NewPCG(7, uint64(g))), request()
			for range 200 {
				if !u.use(t, random, r) {
					return
				}
			}
		})
	}
	for i := range 50 {
		setHosts(p, []netip.AddrPort{s1.addr, s2.addr}[i%2:]...)
		p.sweep(time.Now())
	}
	setHosts(p, s1.addr, s2.addr)
	wg.Wait()
	p.sweep(time.Now())
	checkSums(t, p)
	if n := u.most.Load(); n > 8 {
		t.Errorf("%d connections in use at once, want at most 8", n)
	}
	if got := p.Stats(); got.Active != 0 || got.Waiting != 0 || got.Idle > 6 {
		t.Errorf("stats %+v", got)
	}
	for _, h := range p.set.byAddr {
		if n := h.outstanding.Load(); n != 0 {
			t.Errorf("%v: %d calls are under way", h.addr, n)
		}
	}
	if len(p.cluster.waiting) != 0 {
		t.Error("the pool is still among those in which requests are parked")
	}
	if n := u.served.Load(); n < 1000 {
		t.Errorf("only %d were served", n)
	}
}

// users use a pool at random.
type users struct {
	pool                 *Pool
	avoid                netip.AddrPort
	active, most, served atomic.Int64
}

// use makes one request, and reports whether things are as they should be.
func (u *users) use(t *testing.T, random *rand.Rand, r *asking) bool {
	p := u.pool
	r.Fresh, r.Avoid = random.IntN(10) == 0, nil
	r.Careful, r.Client = random.IntN(3) == 0, uint64(random.IntN(3))
	if random.IntN(5) == 0 {
		r.Avoid = []netip.AddrPort{u.avoid}
	}
	later := time.Now().Add(time.Duration(random.IntN(2)) * time.Second) // idle for long, as far as it can tell
	a := r.askAt(p, later)
	if a == Parked {
		switch random.IntN(8) {
		case 0:
			r.cancel(p)
			return true
		case 1:
			if r.cancelParked(p) {
				r.cancel(p)
			}
			return true
		}
		select {
		case <-r.woken:
		case <-time.After(patience):
			t.Error("a waiter was forgotten")
			r.cancel(p)
			return false
		}
		a, r.lease = p.Redeem(later, &r.Request)
	}
	switch a {
	case Overflow:
		return true
	case Ready:
		u.end(random, r.lease)
	default:
		l, err := p.Dial(t.Context(), &r.Request)
		if err != nil {
			t.Error(err)
			return false
		}
		u.end(random, l)
	}
	return true
}

func (u *users) end(random *rand.Rand, l Lease) {
	n := u.active.Add(1)
	u.most.Store(max(u.most.Load(), n))
	u.served.Add(1)
	l.Report(time.Now(), random.IntN(3) == 0)
	u.active.Add(-1)
	switch random.IntN(20) {
	case 0:
		l.Detach(time.Now())
	case 1:
		l.LimitIdle(time.Duration(random.IntN(3)) * time.Second)
	}
	l.Release(time.Now(), random.IntN(3) > 0)
}
