package upstream

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

var balancings = []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint}

func seeded(o *setup) { o.Random = rand.New(rand.NewPCG(1, 2)).Uint64 }

// ending ends a call at once if it fails.
type ending func(p *Pool, r *asking) (failed bool)

// crowd makes calls for a while of simulated time. Each takes 50 ms, unless ends ends it.
type crowd struct {
	pool    *Pool
	callers int
	avoids  bool // a call that failed is made again elsewhere
	ends    ending

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
			r := request()
			for time.Now().Before(end) {
				failed := c.call(r)
				if failed && c.avoids {
					r.Avoid = []netip.AddrPort{r.peer()}
					failed = c.call(r)
					r.Avoid = nil
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

func (c *crowd) call(r *asking) (failed bool) {
	r.ask(c.pool)
	hc := r.to
	c.mu.Lock()
	c.at[hc.host.addr]++
	c.mu.Unlock()
	if c.ends != nil && c.ends(c.pool, r) {
		return true
	}
	time.Sleep(50 * time.Millisecond)
	leaseOf(c.pool, hc).Report(time.Now(), false)
	c.pool.vacate(time.Now(), hc)
	return false
}

// share is an endpoint's share of all calls.
func (c *crowd) share(of netip.AddrPort) float64 { return float64(c.at[of]) / float64(c.well+c.badly) }

// leaseOf is a lease without a connection.
func leaseOf(p *Pool, hc *hostConns) Lease { return Lease{Conn: &Conn{pool: p, to: hc}} }

// failsAt has an endpoint answer every call with an error at once.
func failsAt(bad netip.AddrPort) ending {
	return func(p *Pool, r *asking) bool {
		if r.peer() != bad {
			return false
		}
		leaseOf(p, r.to).Report(time.Now(), true)
		p.vacate(time.Now(), r.to)
		return true
	}
}

// refusesAt has an endpoint refuse connections.
func refusesAt(bad netip.AddrPort) ending { return unconnectable(bad, 0, syscall.ECONNREFUSED) }

// unconnectable has connects to an endpoint fail after a while.
func unconnectable(bad netip.AddrPort, after time.Duration, err error) ending {
	return func(p *Pool, r *asking) bool {
		if r.peer() != bad {
			return false
		}
		time.Sleep(after)
		p.dialFailed(time.Now(), &r.Request, err)
		return true
	}
}
