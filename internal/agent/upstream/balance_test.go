package upstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

var balancings = []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint}

// crowd makes calls for a while of simulated time. Each takes 50 ms, unless ends says that the endpoint ends it at once.
type crowd struct {
	pool    *Pool
	callers int
	avoids  bool // a call that failed is made again elsewhere
	ends    func(p *Pool, at *endpoint, now time.Time) (failed bool)

	mu          sync.Mutex
	well, badly int
	at          map[netip.AddrPort]int
}

func (c *crowd) run(lasts time.Duration) {
	c.at = map[netip.AddrPort]int{}
	end := time.Now().Add(lasts)
	var wg sync.WaitGroup
	for range c.callers {
		wg.Go(func() {
			tk := ticket()
			for time.Now().Before(end) {
				failed := c.call(tk)
				if failed && c.avoids {
					tk.Avoid = []netip.AddrPort{tk.Peer()}
					failed = c.call(tk)
					tk.Avoid = nil
				}
				c.mu.Lock()
				if failed {
					c.badly++
				} else {
					c.well++
				}
				c.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
}

func (c *crowd) call(tk *Request) (failed bool) {
	c.pool.Acquire(tk)
	at := tk.at
	c.mu.Lock()
	c.at[at.addr]++
	c.mu.Unlock()
	conn := &Conn{pool: c.pool, at: at}
	if c.ends != nil && c.ends(c.pool, at, time.Now()) {
		return true
	}
	time.Sleep(50 * time.Millisecond)
	conn.Report(false, time.Now())
	c.pool.vacate(at)
	return false
}

// failsAt has an endpoint answer every call with an error at once.
func failsAt(bad netip.AddrPort) func(*Pool, *endpoint, time.Time) bool {
	return func(p *Pool, at *endpoint, now time.Time) bool {
		if at.addr != bad {
			return false
		}
		(&Conn{pool: p, at: at}).Report(true, now)
		p.vacate(at)
		return true
	}
}

// refusesAt has an endpoint refuse connections.
func refusesAt(bad netip.AddrPort) func(*Pool, *endpoint, time.Time) bool { return unreachable(bad, 0) }

// unreachable has connects to an endpoint fail after a while.
func unreachable(bad netip.AddrPort, after time.Duration) func(*Pool, *endpoint, time.Time) bool {
	return func(p *Pool, at *endpoint, _ time.Time) bool {
		if at.addr != bad {
			return false
		}
		time.Sleep(after)
		p.dialFailed(at, call.ConnectFailed, time.Now())
		return true
	}
}

// An endpoint that fails at once looks idle all the time. It must not get more calls for that.
func TestAFastFailureDoesNotAttractCalls(t *testing.T) {
	for _, callers := range []int{1, 10, 100} {
		for _, avoids := range []bool{false, true} {
			t.Run(fmt.Sprintf("callers %d, retries %v", callers, avoids), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					endpoints := addresses(2)
					p, _ := newPool(t, seeded, endpoints...)
					c := crowd{pool: p, callers: callers, avoids: avoids, ends: failsAt(endpoints[0])}
					c.run(30 * time.Second)
					least := 0.9
					if avoids {
						least = 1
					}
					if good := float64(c.well) / float64(c.well+c.badly); good < least {
						t.Errorf("%.1f %% of %d calls went well, want at least %v", 100*good, c.well+c.badly, 100*least)
					}
					if c.at[endpoints[0]] < 4 {
						t.Errorf("the failing endpoint was asked %d times in 30 s: nobody would notice that it is well again", c.at[endpoints[0]])
					}
				})
			})
		}
	}
}

func seeded(o *Options) { o.Random = rand.New(rand.NewPCG(1, 2)).Uint64 }

// What has failed is used like the others when it is well again.
func TestAnEndpointThatIsWellAgainGetsItsShare(t *testing.T) {
	for name, ends := range map[string]func(netip.AddrPort) func(*Pool, *endpoint, time.Time) bool{"failing": failsAt, "refusing": refusesAt} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoints := addresses(2)
				p, _ := newPool(t, seeded, endpoints...)
				(&crowd{pool: p, callers: 10, ends: ends(endpoints[0])}).run(30 * time.Second)
				(&crowd{pool: p, callers: 10}).run(20 * time.Second)
				c := crowd{pool: p, callers: 10}
				c.run(10 * time.Second)
				if share := float64(c.at[endpoints[0]]) / float64(c.well); share < 0.4 || share > 0.6 {
					t.Errorf("it has %.0f %% of the calls", 100*share)
				}
				if p.unhealthy != 0 || p.down != 0 {
					t.Errorf("%d are unhealthy, %d down", p.unhealthy, p.down)
				}
			})
		})
	}
}

// A failure now and then, as every server has them, hardly shifts the load.
func TestRareFailuresHardlyWeigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoints := addresses(2)
		p, _ := newPool(t, seeded, endpoints...)
		r := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		c := crowd{pool: p, callers: 10, ends: func(p *Pool, at *endpoint, now time.Time) bool {
			mu.Lock()
			rare := r.IntN(100) == 0
			mu.Unlock()
			return rare && failsAt(endpoints[0])(p, at, now)
		}}
		c.run(60 * time.Second)
		if share := float64(c.at[endpoints[0]]) / float64(c.well+c.badly); share < 0.3 {
			t.Errorf("one failure in a hundred leaves it %.0f %% of the calls", 100*share)
		}
	})
}

// An endpoint that cannot be connected to is left out while there are others, and tried again by one call now and then.
func TestEndpointsThatCannotBeReachedAreLeftOut(t *testing.T) {
	for _, balancing := range balancings {
		for name, tc := range map[string]struct {
			after       time.Duration
			least, most int
		}{
			// All ten may meet it at first, then one at a time after 1, 2, 4, 8, 8 ... seconds.
			"refused":  {0, 5, 10 + 11},
			"no reply": {5 * time.Second, 5, 10 + 11},
		} {
			t.Run(balancing.String()+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					endpoints := addresses(3)
					p, _ := newPool(t, func(o *Options) { seeded(o); o.LoadBalancing = balancing }, endpoints...)
					c := crowd{pool: p, callers: 10, ends: unreachable(endpoints[1], tc.after)}
					c.run(60 * time.Second)
					if n := c.at[endpoints[1]]; n < tc.least || n > tc.most {
						t.Errorf("it was tried %d times in a minute", n)
					}
					a, b := float64(c.at[endpoints[0]]), float64(c.at[endpoints[2]])
					if a/(a+b) < 0.4 || a/(a+b) > 0.6 {
						t.Errorf("its calls went to one of the others alone: %v", c.at)
					}
				})
			})
		}
	}
}

func TestWithoutAnyOtherAnUnreachableEndpointIsUsed(t *testing.T) {
	for _, balancing := range balancings {
		endpoints := addresses(2)
		p, _ := newPool(t, func(o *Options) { o.LoadBalancing = balancing }, endpoints...)
		seen := map[netip.AddrPort]bool{}
		for range 100 {
			tk := ticket()
			if a := p.Acquire(tk); a != Granted {
				t.Fatalf("balancing %v: answer %d", balancing, a)
			}
			seen[tk.Peer()] = true
			p.dialFailed(tk.at, call.ConnectFailed, time.Now())
		}
		if len(seen) != 2 {
			t.Errorf("balancing %v: only %v was tried", balancing, seen)
		}
	}
}

// A retry goes to an endpoint that was not tried, but rather to the one that was than to one that nobody can reach.
func TestARetryPrefersWhatCanBeReached(t *testing.T) {
	endpoints := addresses(3)
	p, _ := newPool(t, nil, endpoints...)
	p.mu.Lock()
	p.noteUnconnected(p.byAddr[endpoints[0]], time.Now().Add(time.Hour)) // until then
	p.mu.Unlock()
	for range 50 {
		for _, tc := range []struct{ avoid, want []netip.AddrPort }{
			{endpoints[1:2], endpoints[2:3]},
			{endpoints[1:3], endpoints[1:3]},
			{endpoints, endpoints[1:3]},
		} {
			tk := ticket()
			tk.Avoid = tc.avoid
			if p.Acquire(tk); !slices.Contains(tc.want, tk.Peer()) {
				t.Fatalf("avoiding %v it chose %v", tc.avoid, tk.Peer())
			}
			p.Cancel(tk)
		}
	}
}

// A full pool uses the connections that are there, and still the endpoints behind them evenly.
func TestAFullPoolBalancesToo(t *testing.T) {
	for _, balancing := range balancings {
		t.Run(balancing.String(), func(t *testing.T) {
			const n, each, calls = 5, 4, 2000
			var servers []netip.AddrPort
			for range n {
				servers = append(servers, listen(t).addr)
			}
			p, d := newPool(t, func(o *Options) {
				seeded(o)
				o.LoadBalancing, o.Limits.MaxConnections = balancing, n*each
			}, servers...)
			var conns []*Conn
			for i := range n * each { // the same number to each endpoint
				tk := ticket()
				tk.Original, tk.Pinned, tk.Fresh = servers[i%n], true, true
				conns = append(conns, take(t, p, tk))
			}
			now := time.Now()
			for _, c := range conns {
				c.Release(true, now)
			}
			got := map[netip.AddrPort]int{}
			held := make([]*Conn, 0, n*each)
			for range calls {
				if len(held) == n*each*3/4 { // so that some endpoints have none to spare
					held[0].Release(true, now)
					held = slices.Delete(held, 0, 1)
				}
				c := take(t, p, ticket())
				got[c.Peer()]++
				held = append(held, c)
			}
			for _, c := range held {
				c.Release(true, now)
			}
			if d.dials.Load() != n*each {
				t.Errorf("%d dials, want none beyond the first %d", d.dials.Load(), n*each)
			}
			for _, s := range servers {
				if got[s] < calls/n*8/10 || got[s] > calls/n*12/10 {
					t.Errorf("uneven: %v", got)
					break
				}
			}
		})
	}
}

// A client that called an IPv4 address has chosen: endpoints of the other family are no substitute, and without any of its family
// it gets what it would get without us.
func TestEndpointsAreOfTheFamilyThatWasCalled(t *testing.T) {
	v4 := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:8080"), netip.MustParseAddrPort("10.1.0.2:8080")}
	v6 := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:8080"), netip.MustParseAddrPort("[2001:db8::2]:8080")}
	service4, service6 := netip.MustParseAddrPort("10.96.0.7:80"), netip.MustParseAddrPort("[fd00::7]:80")
	for name, tc := range map[string]struct {
		endpoints []netip.AddrPort
		called    netip.AddrPort
		want      []netip.AddrPort
	}{
		"IPv4 of both":           {slices.Concat(v4, v6), service4, v4},
		"IPv6 of both":           {slices.Concat(v4, v6), service6, v6},
		"IPv4 without any":       {v6, service4, []netip.AddrPort{service4}},
		"IPv6 without any":       {v4, service6, []netip.AddrPort{service6}},
		"IPv4 written as IPv6":   {slices.Concat(v4, v6), netip.MustParseAddrPort("[::ffff:10.96.0.7]:80"), v4},
		"an address not known":   {slices.Concat(v4, v6), netip.AddrPort{}, v4},
		"and IPv6 is all it has": {v6, netip.AddrPort{}, v6},
	} {
		for _, balancing := range balancings {
			p, _ := newPool(t, func(o *Options) { seeded(o); o.LoadBalancing = balancing }, tc.endpoints...)
			seen := map[netip.AddrPort]int{}
			for range 64 {
				tk := ticket()
				tk.Original = tc.called
				tk.Avoid = tc.want[:len(tc.want)-1] // what was tried of the family does not lead to the other one
				if a := p.Acquire(tk); a != Granted {
					t.Fatalf("%s: answer %d", name, a)
				}
				seen[tk.Peer()]++
				p.Cancel(tk)
				tk.Avoid = nil
				p.Acquire(tk)
				seen[tk.Peer()]++
				p.Cancel(tk)
			}
			for _, w := range tc.want {
				delete(seen, w)
			}
			if len(seen) > 0 {
				t.Errorf("%s, balancing %v: also %v", name, balancing, seen)
			}
		}
	}
}

// Behind a cluster IP the cluster chooses: all calls go there, kept connections serve them, and a retry gets a new connection,
// for that is the only way to another endpoint.
func TestClusterIPLeavesTheChoiceToTheCluster(t *testing.T) {
	cluster := listen(t)
	p, d := newPool(t, func(o *Options) { o.LoadBalancing = policy.ClusterIP }, addresses(3)...)
	tk := ticket()
	tk.Original = cluster.addr
	for range 3 {
		c := take(t, p, tk)
		if c.Peer() != cluster.addr {
			t.Fatalf("it went to %v", c.Peer())
		}
		c.Release(true, time.Now())
	}
	if d.dials.Load() != 1 {
		t.Errorf("%d dials for three calls in a row", d.dials.Load())
	}
	tk.Avoid = []netip.AddrPort{cluster.addr}
	c := take(t, p, tk)
	if c.Reused() || c.Peer() != cluster.addr {
		t.Error("a retry was led to the endpoint of the try before")
	}
	c.Release(true, time.Now())
}

func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := newPool(b, nil, many(n)...)
			now := time.Now()
			for b.Loop() {
				p.sweep(now)
			}
		})
	}
}

func BenchmarkUnchanged(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := newPool(b, nil, many(n)...)
			same := many(n)
			for b.Loop() {
				p.Reconfigure(policy.Defaults().Pool, policy.LeastRequest)
				p.SetEndpoints(same)
			}
		})
	}
}

func many(n int) (all []netip.AddrPort) {
	for i := range n {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80))
	}
	return all
}

// Who waits for a place is served when an endpoint that could not be reached is tried again, though nobody gives a place back; and
// before those who come later.
func TestRule25_WaitersAreServedWhenAnEndpointIsTriedAgain(t *testing.T) {
	for name, happens := range map[string]func(*Pool){
		"a sweep": func(p *Pool) { p.sweep(time.Now()) },
		"a newcomer": func(p *Pool) {
			if tk := ticket(); p.Acquire(tk) != Queued {
				t.Error("the newcomer was served first")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, d := newPool(t, func(o *Options) { o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending = 1, 2 }, addresses(2)...)
				d.err = syscall.ECONNREFUSED
				first, failing, waiting := ticket(), ticket(), ticket()
				if p.Acquire(first) != Granted || p.Acquire(failing) != Granted {
					t.Fatal("not granted")
				}
				if _, err := p.Dial(t.Context(), failing); err == nil {
					t.Fatal("connected")
				}
				if p.Acquire(waiting) != Queued {
					t.Fatal("not queued")
				}
				time.Sleep(leastDown) // of the bubble's clock
				happens(p)
				select {
				case <-waiting.Ready():
				default:
					t.Error("still waiting")
				}
				p.Cancel(waiting)
				p.Cancel(first)
			})
		})
	}
}
