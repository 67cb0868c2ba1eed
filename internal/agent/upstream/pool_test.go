package upstream

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

func TestRule25_IdleConnectionsAreTakenNewestFirst(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	a, b := take(t, p, ticket()), take(t, p, ticket())
	now := time.Now()
	a.Release(true, now)
	b.Release(true, now)
	if c := take(t, p, ticket()); c != b || !c.Reused() {
		t.Error("the newest was not taken")
	}
	if c := take(t, p, ticket()); c != a {
		t.Error("the other was not taken")
	}
	if d.dials.Load() != 2 {
		t.Errorf("%d dials", d.dials.Load())
	}
}

func TestRule25_DeadIdleConnectionsAreNotReused(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, nil, s.addr)
	a, b := take(t, p, ticket()), take(t, p, ticket())
	old := time.Now().Add(-time.Second)
	a.Release(true, old)
	b.Release(true, old)
	eventually(t, func() bool { return s.open.Load() == 2 }) // accepted
	s.closeAll()
	eventually(t, func() bool { return s.open.Load() == 0 && departed(a) && departed(b) })
	c := take(t, p, ticket())
	if c == a || c == b || c.Reused() {
		t.Error("a dead connection was taken")
	}
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v", got)
	}
	c.Release(true, time.Now())
}

func TestRule25_IdleConnectionsAreClosedInTime(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *Options) { o.Limits.IdleTimeout = time.Minute }, s.addr)
	now := time.Now()
	a, b := take(t, p, ticket()), take(t, p, ticket())
	a.Release(true, now)
	b.Release(true, now.Add(30*time.Second))
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
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, ticket())
	waiting := []*Request{ticket(), ticket(), ticket()}
	for _, w := range waiting {
		if a := p.Acquire(w); a != Queued {
			t.Fatalf("answer %d, want Queued", a)
		}
	}
	for i, w := range waiting {
		c.Release(true, time.Now())
		<-w.Ready()
		for _, later := range waiting[i+1:] {
			if len(later.Ready()) > 0 {
				t.Fatal("a later waiter was served as well")
			}
		}
		if got := redeem(t, p, w); got != c {
			t.Fatal("another connection was made")
		}
	}
}

func TestRule25_TheQueueIsBounded(t *testing.T) {
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections, o.Limits.MaxPending = 1, 1 }, listen(t).addr)
	c := take(t, p, ticket())
	first, second := ticket(), ticket()
	if a := p.Acquire(first); a != Queued {
		t.Fatalf("answer %d", a)
	}
	if a := p.Acquire(second); a != Overflow {
		t.Fatalf("answer %d, want Overflow", a)
	}
	p.Cancel(first)
	if a := p.Acquire(second); a != Queued {
		t.Fatalf("answer %d, want the place back", a)
	}
	p.Cancel(second)
	c.Release(false, time.Now())
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

// A grant that nobody wants any more goes to the next in line.
func TestRule25_AForgottenGrantIsPassedOn(t *testing.T) {
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, ticket())
	first, second := ticket(), ticket()
	p.Acquire(first)
	p.Acquire(second)
	c.Release(false, time.Now()) // first may dial
	p.Cancel(first)
	<-second.Ready()
	c = redeem(t, p, second)
	third, fourth := ticket(), ticket()
	p.Acquire(third)
	p.Acquire(fourth)
	c.Release(true, time.Now()) // third has the connection
	p.Cancel(third)
	<-fourth.Ready()
	if redeem(t, p, fourth) != c {
		t.Error("the connection was lost")
	}
	if len(first.Ready())+len(third.Ready()) > 0 {
		t.Error("a forgotten ticket is still announced")
	}
}

func TestAFailedDialFreesItsPlace(t *testing.T) {
	p, d := newPool(t, func(o *Options) { o.Limits.MaxConnections = 1 }, netip.MustParseAddrPort("127.0.0.1:1"))
	d.err = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for range 3 {
		tk := ticket()
		if a := p.Acquire(tk); a != Granted {
			t.Fatalf("answer %d", a)
		}
		if c := p.Redeem(tk, time.Now()); c != nil {
			t.Fatal("a connection out of nowhere")
		}
		if _, err := p.Dial(t.Context(), tk); FailureOf(err) != call.ConnectFailed {
			t.Fatalf("got %v", err)
		}
	}
}

func TestConnectionsWearOut(t *testing.T) {
	p, d := newPool(t, func(o *Options) {
		o.Limits.MaxRequestsPerConnection, o.Limits.MaxLifetime = 2, time.Hour
	}, listen(t).addr)
	now := time.Now()
	for range 4 {
		take(t, p, ticket()).Release(true, now)
	}
	if d.dials.Load() != 2 {
		t.Errorf("%d dials for 4 calls of 2 each", d.dials.Load())
	}
	take(t, p, ticket()).Release(true, now.Add(2*time.Hour))
	if got := p.Stats(); got.Idle != 0 {
		t.Error("a connection outlived its time")
	}
}

func TestFreshTicketsGetNewConnections(t *testing.T) {
	p, d := newPool(t, func(o *Options) { o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint = 2, 1 }, listen(t).addr)
	a := take(t, p, ticket())
	a.Release(true, time.Now())
	tk := ticket()
	tk.Fresh = true
	b := take(t, p, tk)
	if a == b || d.dials.Load() != 2 {
		t.Error("the kept connection was taken")
	}
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v: the kept connection should have made room", got)
	}
	b.Release(true, time.Now())
}

func TestBalancing(t *testing.T) {
	for name, tc := range map[string]struct {
		policy policy.LoadBalancing
		check  func(t *testing.T, n []int)
	}{
		"least request": {policy.LeastRequest, func(t *testing.T, n []int) {
			if slices.Max(n)-slices.Min(n) > 20 {
				t.Errorf("uneven: %v", n)
			}
		}},
		"round robin": {policy.RoundRobin, func(t *testing.T, n []int) {
			if slices.Max(n) != slices.Min(n) {
				t.Errorf("uneven: %v", n)
			}
		}},
		"random": {policy.RandomEndpoint, func(t *testing.T, n []int) {
			if slices.Min(n) == 0 {
				t.Errorf("an endpoint was never chosen: %v", n)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			endpoints := addresses(4)
			p, _ := newPool(t, func(o *Options) {
				o.LoadBalancing, o.Limits.MaxConnections = tc.policy, 0
				o.Random = rand.New(rand.NewPCG(1, 2)).Uint64
			}, endpoints...)
			n := make([]int, 4)
			for range 200 {
				tk := ticket()
				if a := p.Acquire(tk); a != Granted {
					t.Fatal(a)
				}
				n[slices.Index(endpoints, tk.Peer())]++
			}
			tc.check(t, n)
		})
	}
}

func TestTriedEndpointsAreAvoided(t *testing.T) {
	endpoints := addresses(3)
	for _, balancing := range []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint} {
		p, _ := newPool(t, func(o *Options) { o.LoadBalancing = balancing }, endpoints...)
		for range 50 {
			tk := ticket()
			tk.Avoid = []netip.AddrPort{endpoints[2], endpoints[0]}
			if p.Acquire(tk); tk.Peer() != endpoints[1] {
				t.Fatalf("balancing %d chose %v", balancing, tk.Peer())
			}
			p.Cancel(tk)
			tk.Avoid = endpoints
			if a := p.Acquire(tk); a != Granted {
				t.Fatal("all were tried, so any will do")
			}
			p.Cancel(tk)
		}
	}
}

func TestPinnedTicketsAndUnknownEndpoints(t *testing.T) {
	endpoints := addresses(3)
	elsewhere := netip.MustParseAddrPort("127.9.9.9:99")
	p, _ := newPool(t, nil, endpoints...)
	tk := ticket()
	tk.Original, tk.Pinned = elsewhere, true
	if p.Acquire(tk); tk.Peer() != elsewhere {
		t.Errorf("pinned: got %v", tk.Peer())
	}
	p.Cancel(tk)
	p.SetEndpoints(nil)
	tk.Pinned = false
	if p.Acquire(tk); tk.Peer() != elsewhere {
		t.Errorf("no endpoints: got %v", tk.Peer())
	}
	p.Cancel(tk)
	p.sweep(time.Now())
	if len(p.byAddr) != 0 {
		t.Errorf("%d addresses are remembered", len(p.byAddr))
	}
}

func TestEndpointsThatGoAreLetFinish(t *testing.T) {
	s1, s2 := listen(t), listen(t)
	p, _ := newPool(t, nil, s1.addr)
	idle, busy := take(t, p, ticket()), take(t, p, ticket())
	idle.Release(true, time.Now())
	p.SetEndpoints([]netip.AddrPort{s2.addr})
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v", got)
	}
	if _, err := busy.TryWrite([]byte("x")); err != nil {
		t.Errorf("the call in flight was cut: %v", err)
	}
	busy.Release(true, time.Now())
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v: a connection to an endpoint that is gone was kept", got)
	}
	if c := take(t, p, ticket()); c.Peer() != s2.addr {
		t.Error("the new endpoint is not used")
	}
}

func TestAClosedPoolKeepsNothing(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	a := take(t, p, ticket())
	p.Close()
	a.Release(true, time.Now())
	take(t, p, ticket()).Release(true, time.Now())
	if got := p.Stats(); got != (Stats{}) || d.dials.Load() != 2 {
		t.Errorf("stats %+v, %d dials", got, d.dials.Load())
	}
}

// Many goroutines take, keep, drop and give up at random, while the pool is changed under them. The bounds hold as the server
// sees them, and in the end nothing is left over.
func TestBoundsHoldUnderConcurrency(t *testing.T) {
	s1, s2 := listen(t), listen(t)
	p, _ := newPool(t, func(o *Options) {
		o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending, o.Limits.MaxIdlePerEndpoint = 8, 5, 1000, 3
	}, s1.addr, s2.addr)
	var active, most, served atomic.Int64
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(g)))
			tk := ticket()
			for range 200 {
				tk.Fresh, tk.Avoid = r.IntN(10) == 0, nil
				tk.Careful, tk.Client = r.IntN(3) == 0, uint64(r.IntN(3))
				if r.IntN(5) == 0 {
					tk.Avoid = []netip.AddrPort{s1.addr}
				}
				switch p.Acquire(tk) {
				case Overflow:
					continue
				case Queued:
					switch r.IntN(8) {
					case 0:
						p.Cancel(tk)
						continue
					case 1:
						if p.CancelQueued(tk) {
							p.Cancel(tk)
						}
						continue
					}
					select {
					case <-tk.Ready():
					case <-time.After(patience):
						t.Error("a waiter was forgotten")
						p.Cancel(tk)
						return
					}
				case Granted:
				}
				c := p.Redeem(tk, time.Now().Add(time.Duration(r.IntN(2))*time.Second)) // idle for long, as far as it can tell
				if c == nil {
					var err error
					if c, err = p.Dial(t.Context(), tk); err != nil {
						t.Error(err)
						return
					}
				}
				n := active.Add(1)
				most.Store(max(most.Load(), n))
				served.Add(1)
				active.Add(-1)
				c.Report(r.IntN(3) == 0, time.Now())
				switch r.IntN(20) {
				case 0:
					c.Detach()
				case 1:
					c.LimitIdle(time.Duration(r.IntN(3)) * time.Second)
				}
				c.Release(r.IntN(3) > 0, time.Now())
			}
		})
	}
	for i := range 50 {
		p.SetEndpoints([]netip.AddrPort{s1.addr, s2.addr}[i%2:])
		p.sweep(time.Now())
	}
	p.SetEndpoints([]netip.AddrPort{s1.addr, s2.addr})
	wg.Wait()
	checkSums(t, p)
	if most.Load() > 8 {
		t.Errorf("%d connections in use at once, want at most 8", most.Load())
	}
	if got := p.Stats(); got.Active != 0 || got.Waiting != 0 || got.Idle > 6 {
		t.Errorf("stats %+v", got)
	}
	if served.Load() < 1000 {
		t.Errorf("only %d were served", served.Load())
	}
}

func BenchmarkAskAndDone(b *testing.B) {
	p, _ := newPool(b, nil, listen(b).addr)
	tk := ticket()
	take(b, p, tk).Release(true, time.Now())
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p.Acquire(tk)
		p.Redeem(tk, now).Release(true, now)
	}
}
