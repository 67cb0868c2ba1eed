package upstream

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// once takes a connection and gives it back.
func (r *asking) once(b *testing.B, p *Pool, now time.Time) {
	l := Lease{}
	switch a, ready := p.Acquire(now, &r.Request); a {
	case Ready:
		l = ready
	case Dial:
		l = dial(b, p, r)
	default:
		b.Errorf("answer %d", a)
	}
	l.Release(now, true)
}

func BenchmarkAcquireAndRelease(b *testing.B) {
	p, _ := newPool(b, nil, listen(b).addr)
	r, now := request(), time.Now()
	r.once(b, p, now)
	b.ReportAllocs()
	for b.Loop() {
		r.once(b, p, now)
	}
}

// Many goroutines on one pool.
func BenchmarkOnePool(b *testing.B) { benchmarkPools(b, 1) }

// Many goroutines on many pools of one cluster.
func BenchmarkManyPools(b *testing.B) { benchmarkPools(b, 16) }

func benchmarkPools(b *testing.B, n int) {
	for _, hosts := range []int{1, 8} {
		b.Run(fmt.Sprint(hosts, " hosts"), func(b *testing.B) {
			var endpoints []netip.AddrPort
			for range hosts {
				endpoints = append(endpoints, listen(b).addr)
			}
			p, d := newPool(b, nil, endpoints...)
			pools := []*Pool{p}
			for range n - 1 {
				pools = append(pools, poolOf(b, Options{Cluster: p.cluster, Dialer: d, Limits: p.limits}))
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				p := pools[int(next.Add(1))%n]
				r, now := request(), time.Now()
				for pb.Next() {
					r.once(b, p, now)
				}
			})
		})
	}
}

// BenchmarkLock is what the pool itself costs, without a look at a connection.
func BenchmarkLock(b *testing.B) {
	for _, hosts := range []int{1, 8} {
		b.Run(fmt.Sprint(hosts, " hosts"), func(b *testing.B) {
			p, _ := newPool(b, nil, addresses(hosts)...)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r, now := request(), time.Now()
				for pb.Next() {
					p.Acquire(now, &r.Request)
					p.Cancel(now, &r.Request)
				}
			})
		})
	}
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

// BenchmarkEndpointChange is one endpoint of 1,000 that changes, while 100 pods have used all of them: what the update costs, and what
// it costs all pools to take note of it.
func BenchmarkEndpointChange(b *testing.B) {
	all := many(1001)
	p, d := newPool(b, nil, all[:1000]...)
	pools := []*Pool{p}
	for range 99 {
		pools = append(pools, poolOf(b, Options{Cluster: p.cluster, Dialer: d, Limits: p.limits}))
	}
	for _, p := range pools {
		p.mu.Lock()
		for _, h := range p.set.byAddr {
			p.addListed(h)
		}
		p.mu.Unlock()
	}
	for name, note := range map[string]bool{"update": false, "update and sweep": true} {
		b.Run(name, func(b *testing.B) {
			now := time.Now()
			for i := 0; b.Loop(); i++ {
				setHosts(p, all[i%2:1000+i%2]...)
				if !note {
					continue
				}
				for _, p := range pools {
					p.sweep(now)
				}
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
				p.Reconfigure(p.limits)
				setHosts(p, same...)
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
