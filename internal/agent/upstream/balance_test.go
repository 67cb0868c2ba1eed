package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

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
			p, _ := newPool(t, func(o *setup) {
				o.LoadBalancing, o.Limits.MaxConnections = tc.policy, 0
				o.Random = rand.New(rand.NewPCG(1, 2)).Uint64
			}, endpoints...)
			n := make([]int, 4)
			for range 200 {
				r := request()
				if a := r.ask(p); a != Dial {
					t.Fatal(a)
				}
				n[slices.Index(endpoints, r.peer())]++
			}
			tc.check(t, n)
		})
	}
}

func TestTriedEndpointsAreAvoided(t *testing.T) {
	endpoints := addresses(3)
	for _, balancing := range []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint} {
		p, _ := newPool(t, func(o *setup) { o.LoadBalancing = balancing }, endpoints...)
		for range 50 {
			r := request()
			r.Avoid = []netip.AddrPort{endpoints[2], endpoints[0]}
			if r.ask(p); r.peer() != endpoints[1] {
				t.Fatalf("balancing %d chose %v", balancing, r.peer())
			}
			r.cancel(p)
			r.Avoid = endpoints
			if !r.granted(p) {
				t.Fatal("all were tried, so any will do")
			}
			r.cancel(p)
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
			p, d := newPool(t, func(o *setup) {
				seeded(o)
				o.LoadBalancing, o.Limits.MaxConnections = balancing, n*each
			}, servers...)
			var conns []Lease
			for i := range n * each { // the same number to each endpoint
				r := request()
				r.Original, r.Pinned, r.Fresh = servers[i%n], true, true
				conns = append(conns, take(t, p, r))
			}
			now := time.Now()
			for _, c := range conns {
				c.Release(now, true)
			}
			got := map[netip.AddrPort]int{}
			held := make([]Lease, 0, n*each)
			for range calls {
				if len(held) == n*each*3/4 { // so that some endpoints have none to spare
					held[0].Release(now, true)
					held = slices.Delete(held, 0, 1)
				}
				c := take(t, p, request())
				got[c.Peer()]++
				held = append(held, c)
			}
			for _, c := range held {
				c.Release(now, true)
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
func TestRule40_EndpointsAreOfTheFamilyThatWasCalled(t *testing.T) {
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
			p, _ := newPool(t, func(o *setup) { seeded(o); o.LoadBalancing = balancing }, tc.endpoints...)
			seen := map[netip.AddrPort]int{}
			for range 64 {
				r := request()
				r.Original = tc.called
				r.Avoid = tc.want[:len(tc.want)-1] // what was tried of the family does not lead to the other one
				if !r.granted(p) {
					t.Fatalf("%s: not granted", name)
				}
				seen[r.peer()]++
				r.cancel(p)
				r.Avoid = nil
				r.ask(p)
				seen[r.peer()]++
				r.cancel(p)
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
	p, d := newPool(t, func(o *setup) { o.LoadBalancing = policy.ClusterIP }, addresses(3)...)
	r := request()
	r.Original = cluster.addr
	for range 3 {
		c := take(t, p, r)
		if c.Peer() != cluster.addr {
			t.Fatalf("it went to %v", c.Peer())
		}
		c.Release(time.Now(), true)
	}
	if d.dials.Load() != 1 {
		t.Errorf("%d dials for three calls in a row", d.dials.Load())
	}
	r.Avoid = []netip.AddrPort{cluster.addr}
	c := take(t, p, r)
	if c.Reused() || c.Peer() != cluster.addr {
		t.Error("a retry was led to the endpoint of the attempt before")
	}
	c.Release(time.Now(), true)
}
