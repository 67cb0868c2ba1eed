package upstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// What it costs to serve one parked request does not grow with the number of those that are parked, and with the number of hosts only
// where several may serve it.
func TestServingAParkedRequestIsCheap(t *testing.T) {
	const hosts, parked = 100, 1000
	for name, change := range map[string]func(*setup){
		"least request": func(s *setup) { s.LoadBalancing = policy.LeastRequest },
		"round robin":   func(s *setup) { s.LoadBalancing = policy.RoundRobin },
		"random":        func(s *setup) { s.LoadBalancing = policy.RandomEndpoint },
		"affinity": func(s *setup) {
			s.KeepFor, s.Affinity = time.Minute, NewAffinity("pod", "ns/s:80")
		},
		"a limit of all": func(s *setup) { s.Limits.MaxConnections = hosts },
	} {
		t.Run(name, func(t *testing.T) {
			p := fullPool(t, hosts, change)
			freed := p.conns(p.set.byAddr[many(hosts)[3]])
			if p.affinity != nil {
				p.affinity.keep(0, freed.host.addr, time.Now(), time.Minute)
			}
			requests := parkMany(t, p, parked)
			p.candidates.looks, p.waiting.looks = 0, 0
			r := request()
			if r.ask(p) != Parked {
				t.Fatal("a newcomer was served")
			}
			if n := p.waiting.looks; n > 0 {
				t.Errorf("a newcomer cost looks at %d queues", n)
			}
			p.candidates.looks = 0
			p.vacate(time.Now(), freed)
			if len(requests[0].woken) != 1 || len(requests[1].woken) != 0 {
				t.Error("the first was not served, or not alone")
			}
			most := 8
			if p.limits.MaxConnections > 0 { // any host may have become open
				most = 2 * hosts
			}
			if n := p.candidates.looks; n > most {
				t.Errorf("%d hosts were looked at", n)
			}
			if n := p.waiting.looks; n > 2 {
				t.Errorf("%d queues were looked at", n)
			}
			for _, r := range append(requests, r) {
				r.cancelAll(p)
			}
		})
	}
}

// Requests that cannot use what has become free are passed over without a look at the hosts: those that go to one address, and those that
// avoid the host.
func TestWhoCannotUseAHostIsPassedOverCheaply(t *testing.T) {
	const hosts = 100
	all := many(hosts)
	for name, change := range map[string]func(r *asking, i int){
		"pinned":  func(r *asking, i int) { r.Pinned, r.Original = true, all[1+i%(hosts-1)] },
		"avoids":  func(r *asking, _ int) { r.Avoid = all[:1] },
		"various": func(r *asking, i int) { r.Avoid = []netip.AddrPort{all[0], all[1+i%50], all[51+i%49]} },
	} {
		t.Run(name, func(t *testing.T) {
			p := fullPool(t, hosts, nil)
			var requests []*asking
			for i := range 1000 {
				r := request()
				change(r, i)
				if r.ask(p) != Parked {
					t.Fatal("not parked")
				}
				requests = append(requests, r)
			}
			p.candidates.looks = 0
			p.vacate(time.Now(), p.conns(p.set.byAddr[all[0]]))
			if n := p.candidates.looks; n > 0 {
				t.Errorf("%d hosts were looked at", n)
			}
			for _, r := range requests {
				r.cancelAll(p)
			}
		})
	}
}

// A kept host is found in one pass over the hosts, when none but the last can be used.
func TestTheHighestRankIsFoundInOnePass(t *testing.T) {
	const hosts = 1000
	p, _ := newPool(t, func(s *setup) {
		s.KeepFor, s.Affinity = time.Minute, NewAffinity("pod", "ns/s:80")
		s.Limits.MaxConnectionsPerEndpoint = 1
	}, many(hosts)...)
	p.mu.Lock()
	defer p.mu.Unlock()
	lowest := slices.MinFunc(p.set.byFamily[0], func(a, b *Host) int {
		if p.affinity.rank(a.addr) < p.affinity.rank(b.addr) {
			return -1
		}
		return 1
	})
	for _, h := range p.set.byFamily[0] {
		if h != lowest {
			p.addListed(h).open = 1
		}
	}
	if hc, _ := p.choose(time.Now(), &Request{}); hc == nil || hc.host != lowest {
		t.Errorf("chose %v, want the only host that is not full", hc)
	}
	if n := p.candidates.looks; n > hosts+2 {
		t.Errorf("%d looks at hosts, want one for each", n)
	}
}

// fullPool returns a pool in which each host has as many connections as it may have, one.
func fullPool(t testing.TB, hosts int, change func(*setup)) *Pool {
	p, _ := newPool(t, func(s *setup) {
		s.Limits.MaxConnectionsPerEndpoint, s.Limits.MaxPending = 1, 1<<20
		if change != nil {
			change(s)
		}
	}, many(hosts)...)
	for _, addr := range many(hosts) {
		r := request()
		r.Pinned, r.Original = true, addr
		if !r.granted(p) {
			t.Fatal("not granted")
		}
	}
	return p
}

func parkMany(t testing.TB, p *Pool, n int) (all []*asking) {
	for range n {
		r := request()
		if r.ask(p) != Parked {
			t.Fatal("not parked")
		}
		all = append(all, r)
	}
	return all
}

// cancelAll gives up a request, whatever has become of it.
func (r *asking) cancelAll(p *Pool) {
	p.Cancel(time.Now(), &r.Request)
	r.forgetWake()
}

// BenchmarkRelease is a place that is given back while requests are parked, and the next request that parks.
func BenchmarkRelease(b *testing.B) {
	for _, hosts := range []int{1, 100, 1000} {
		for _, parked := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%d hosts, %d parked", hosts, parked), func(b *testing.B) {
				p := fullPool(b, hosts, nil)
				requests := parkMany(b, p, parked)
				now := time.Now()
				to := p.conns(p.set.byAddr[many(1)[0]])
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r := requests[i%parked]
					p.vacate(now, to)
					<-r.woken
					to = r.to
					r.ask(p)
				}
			})
		}
	}
}

// Whatever happens in whatever order: nobody is parked who could be served, and nobody is served before another one that wanted the same.
func TestRule25_NobodyWaitsWhoCouldBeServed(t *testing.T) {
	var addrs []netip.AddrPort
	for range 5 {
		addrs = append(addrs, listen(t).addr)
	}
	for name, change := range map[string]func(*setup){
		"least request": nil,
		"round robin":   func(s *setup) { s.LoadBalancing = policy.RoundRobin },
		"cluster IP":    func(s *setup) { s.LoadBalancing = policy.ClusterIP },
		"affinity":      func(s *setup) { s.KeepFor = 3 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				synctest.Test(t, func(t *testing.T) {
					w := &waiters{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), addrs: addrs}
					w.pool, w.dialer = newPool(t, func(s *setup) {
						s.Affinity = NewAffinity("pod", "ns/s:80")
						s.Limits.MaxConnectionsPerEndpoint, s.Limits.MaxPending = 2, 40
						if change != nil {
							change(s)
						}
					}, addrs...)
					w.run(400)
				})
			}
		})
	}
}

// waiters do everything that can be done with a pool, one thing after the other.
type waiters struct {
	*testing.T
	*rand.Rand
	addrs  []netip.AddrPort
	pool   *Pool
	dialer *plainDialer
	parked []*asking // in the order in which they came
	leases []Lease
}

func (w *waiters) run(steps int) {
	for i := range steps {
		w.step()
		w.takeWoken()
		w.checkParked()
		if w.Failed() {
			w.Fatalf("at step %d", i)
		}
	}
	for _, r := range w.parked {
		r.cancelAll(w.pool)
	}
	for _, l := range w.leases {
		l.Release(time.Now(), false)
	}
	if got := w.pool.Stats(); got.Active != 0 || got.Waiting != 0 {
		w.Errorf("left over: %+v", got)
	}
}

func (w *waiters) step() {
	now := time.Now()
	switch w.IntN(16) {
	case 0:
		time.Sleep(time.Duration(w.IntN(1500)) * time.Millisecond)
	case 1:
		w.pool.sweep(now)
	case 2:
		w.Shuffle(len(w.addrs), func(i, j int) { w.addrs[i], w.addrs[j] = w.addrs[j], w.addrs[i] })
		setHosts(w.pool, slices.Clone(w.addrs[:w.IntN(len(w.addrs)+1)])...)
	case 3:
		limits := w.pool.limits
		limits.MaxConnections, limits.MaxConnectionsPerEndpoint = w.IntN(8), w.IntN(4)
		w.pool.Reconfigure(limits)
	case 4:
		if n := len(w.parked); n > 0 {
			i := w.IntN(n)
			w.parked[i].cancelAll(w.pool)
			w.parked = slices.Delete(w.parked, i, i+1)
		}
	case 5, 6, 7, 8:
		w.useLease(now)
	default:
		w.ask()
	}
}

func (w *waiters) useLease(now time.Time) {
	if len(w.leases) == 0 {
		return
	}
	i := w.IntN(len(w.leases))
	l := w.leases[i]
	switch w.IntN(8) {
	case 0:
		l.SetCapacity(1 + w.IntN(3))
		return
	case 1:
		l.Drain()
		return
	}
	w.leases = slices.Delete(w.leases, i, i+1)
	l.Report(now, w.IntN(3) == 0)
	l.Release(now, w.IntN(3) > 0)
}

func (w *waiters) ask() {
	r := request()
	r.Original = w.addrs[w.IntN(len(w.addrs))]
	r.Pinned, r.Fresh, r.Careful = w.IntN(4) == 0, w.IntN(6) == 0, w.IntN(3) == 0
	for range w.IntN(3) {
		r.Avoid = append(r.Avoid, w.addrs[w.IntN(len(w.addrs))])
	}
	switch a := r.ask(w.pool); a {
	case Parked:
		w.parked = append(w.parked, r)
	case Ready:
		w.leases = append(w.leases, r.lease)
	case Dial:
		w.dial(r)
	case Overflow:
	}
}

func (w *waiters) dial(r *asking) {
	if w.dialer.err = nil; w.IntN(4) == 0 {
		w.dialer.err = syscall.ECONNREFUSED
	}
	if l, err := w.pool.Dial(w.Context(), &r.Request); err == nil {
		w.leases = append(w.leases, l)
	}
}

// takeWoken has those that were woken go on, which may wake others.
func (w *waiters) takeWoken() {
	for {
		i := slices.IndexFunc(w.parked, func(r *asking) bool { return len(r.woken) > 0 })
		if i < 0 {
			return
		}
		r := w.parked[i]
		<-r.woken
		for _, earlier := range w.parked[:i] {
			if len(earlier.woken) == 0 && w.pool.wantOf(&earlier.Request) == w.pool.wantOf(&r.Request) {
				w.Error("one that came later was served first")
			}
		}
		w.parked = slices.Delete(w.parked, i, i+1)
		if a, l := w.pool.Redeem(time.Now(), &r.Request); a == Ready {
			w.leases = append(w.leases, l)
		} else {
			w.dial(r)
		}
	}
}

// checkParked checks that those that are parked cannot be served. Where the pool knows that they may be, it looks at its next use.
func (w *waiters) checkParked() {
	p, now := w.pool, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	checkWaiting(w.T, p)
	if p.changed || p.outageOver(now) || p.set != p.cluster.hosts.Load() {
		return
	}
	for _, r := range w.parked {
		if p.couldServe(now, &r.Request) {
			w.Errorf("%+v is parked and could be served", p.wantOf(&r.Request))
		}
	}
}

// couldServe reports whether there is a host for a request, and changes nothing.
func (p *Pool) couldServe(now time.Time, r *Request) bool {
	f := p.family(r)
	if p.wantsOriginal(r, f) {
		hc := p.unlisted[r.Original]
		if h := p.set.byAddr[r.Original]; h != nil {
			hc = p.conns(h)
		}
		return p.available(hc, r.freshAtOriginal(), r.Multiplexed)
	}
	c := &candidates{pool: p, hosts: p.set.byFamily[f], family: f, now: now, fresh: r.Fresh, multiplexed: r.Multiplexed}
	c.narrow(r.Avoid)
	if k, ok := p.set.picker.(keptHost); ok {
		if kept := p.set.byAddr[p.affinity.endpoint(f, now, k.timeout)]; kept != nil && c.allows(kept, p.conns(kept)) {
			return c.admits(kept)
		}
	}
	return slices.ContainsFunc(c.hosts, c.admits)
}

// checkWaiting checks the order of the queues and of those in them.
func checkWaiting(t *testing.T, p *Pool) {
	t.Helper()
	w, n, queues := &p.waiting, 0, 0
	var before *queue
	for q := w.first; q != nil; before, q = q, q.next {
		queues++
		if q.prev != before || before != nil && before.head.turn >= q.head.turn || w.queues[q.want] != q {
			t.Errorf("queue %+v is not in its place", q.want)
		}
		for r := q.head; r != nil; r = r.next {
			n++
			if r.queue != q || r.next == nil && q.tail != r || r.next != nil && r.next.turn <= r.turn {
				t.Errorf("a request of %+v is not in its place", q.want)
			}
		}
	}
	if w.last != before || n != w.len || queues != len(w.queues) {
		t.Errorf("%d requests are waiting, want %d; %d queues, want %d", n, w.len, queues, len(w.queues))
	}
}
