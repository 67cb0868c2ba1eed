package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

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

// What has failed is used like the others when it is well again.
func TestAnEndpointThatIsWellAgainGetsItsShare(t *testing.T) {
	for name, ends := range map[string]func(netip.AddrPort) ending{"failing": failsAt, "refusing": refusesAt} {
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
				if len(p.down) != 0 || slices.ContainsFunc(p.set.byFamily[0], func(h *Host) bool { return h.failing.Load() }) {
					t.Errorf("something is held against them still; %d are down", len(p.down))
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
		random := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		c := crowd{pool: p, callers: 10, ends: func(p *Pool, r *asking) bool {
			mu.Lock()
			rare := random.IntN(100) == 0
			mu.Unlock()
			return rare && failsAt(endpoints[0])(p, r)
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
			err         error
			least, most int
		}{
			// All ten may meet it at first, then one at a time after 1, 2, 4, 8, 8 ... seconds.
			"refused":  {0, syscall.ECONNREFUSED, 5, 10 + 11},
			"no reply": {5 * time.Second, context.DeadlineExceeded, 5, 10 + 11},
		} {
			t.Run(balancing.String()+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					endpoints := addresses(3)
					p, _ := newPool(t, func(o *setup) { seeded(o); o.LoadBalancing = balancing }, endpoints...)
					c := crowd{pool: p, callers: 10, ends: unconnectable(endpoints[1], tc.after, tc.err)}
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
		p, _ := newPool(t, func(o *setup) { o.LoadBalancing = balancing }, endpoints...)
		seen := map[netip.AddrPort]bool{}
		for range 100 {
			r := request()
			if a := r.ask(p); a != Dial {
				t.Fatalf("balancing %v: answer %d", balancing, a)
			}
			seen[r.peer()] = true
			p.dialFailed(time.Now(), &r.Request, syscall.EHOSTUNREACH)
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
	p.noteUnconnected(p.at(endpoints[0]), time.Now().Add(time.Hour)) // until then
	p.mu.Unlock()
	for range 50 {
		for _, tc := range []struct{ avoid, want []netip.AddrPort }{
			{endpoints[1:2], endpoints[2:3]},
			{endpoints[1:3], endpoints[1:3]},
			{endpoints, endpoints[1:3]},
		} {
			r := request()
			r.Avoid = tc.avoid
			if r.ask(p); !slices.Contains(tc.want, r.peer()) {
				t.Fatalf("avoiding %v it chose %v", tc.avoid, r.peer())
			}
			r.cancel(p)
		}
	}
}
