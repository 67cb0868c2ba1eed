package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// An update keeps the hosts that stay, with all that is known of them, and pools take note of it when they are used next.
func TestAnUpdateKeepsTheHostsThatStay(t *testing.T) {
	p, _ := newPool(t, nil, addresses(3)...)
	before := p.set
	h := before.byAddr[addresses(3)[1]]
	h.report(time.Now(), true)
	setHosts(p, addresses(4)[1:]...)
	if p.set != before {
		t.Error("an update touched a pool in which nobody waits")
	}
	r := request()
	r.ask(p)
	if p.set == before || p.set.byAddr[h.addr] != h || !h.failing.Load() || h.departed.Load() {
		t.Error("the host was replaced")
	}
	gone := before.byAddr[addresses(1)[0]]
	if !gone.departed.Load() || p.set.byAddr[gone.addr] != nil {
		t.Error("a host is left")
	}
	setHosts(p, addresses(4)...)
	if again := p.cluster.hosts.Load().byAddr[gone.addr]; again == gone || again.departed.Load() {
		t.Error("a host that comes back is a new one")
	}
	set := p.cluster.hosts.Load()
	setHosts(p, addresses(4)...)
	if p.cluster.hosts.Load() != set {
		t.Error("an update that changes nothing made a new set")
	}
}

// The way of choosing changes for all pools at once, and no host is touched.
func TestAnUpdateChangesTheWayOfChoosing(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.LoadBalancing = policy.ClusterIP }, addresses(2)...)
	r := request()
	r.Original = addresses(3)[2]
	if r.ask(p); r.peer() != r.Original {
		t.Fatalf("it went to %v", r.peer())
	}
	r.cancel(p)
	before := p.set.byAddr
	p.cluster.Update(policy.RoundRobin, addresses(2))
	seen := map[*Host]int{}
	for range 10 {
		r.ask(p)
		seen[r.Host()]++
		r.cancel(p)
	}
	for _, h := range before {
		if seen[h] != 5 {
			t.Errorf("calls: %v", seen)
		}
	}
}

// Idle connections to a host that is gone are closed by the next use of the pool, and by a sweep if there is none.
func TestIdleConnectionsToAHostThatIsGoneAreClosed(t *testing.T) {
	for name, happens := range map[string]func(*Pool){
		"a sweep":      func(p *Pool) { p.sweep(time.Now()) },
		"the next use": func(p *Pool) { r := request(); r.ask(p); r.cancel(p) },
	} {
		t.Run(name, func(t *testing.T) {
			s, other := listen(t), listen(t)
			p, _ := newPool(t, nil, s.addr)
			take(t, p, request()).Release(time.Now(), true)
			setHosts(p, other.addr)
			happens(p)
			if got := p.Stats(); got != (Stats{}) {
				t.Errorf("stats %+v", got)
			}
			eventually(t, func() bool { return s.open.Load() == 0 })
			checkSums(t, p)
		})
	}
}

// Who waits for a host at its limit is served by one that comes, without anybody else doing something in the pool.
func TestRule25_AParkedRequestIsServedByAHostThatComes(t *testing.T) {
	a, b := listen(t), listen(t)
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnectionsPerEndpoint = 1 }, a.addr)
	held := take(t, p, request())
	r := request()
	if r.ask(p) != Parked {
		t.Fatal("not parked")
	}
	setHosts(p, a.addr, b.addr)
	<-r.woken
	l := redeem(t, p, r)
	if l.Peer() != b.addr {
		t.Errorf("it went to %v", l.Peer())
	}
	l.Release(time.Now(), false)
	held.Release(time.Now(), false)
	if len(p.cluster.waiting) != 0 {
		t.Error("the pool is still among those in which requests are parked")
	}
}

// However often hosts are replaced, a pool remembers no more of them than a small multiple of those there are.
func TestWhatIsKnownOfHostsIsBounded(t *testing.T) {
	all := many(4000)
	p, _ := newPool(t, func(o *setup) { o.LoadBalancing = policy.RoundRobin }, all[:1000]...)
	use := func() {
		r := request()
		for range len(p.cluster.hosts.Load().byAddr) {
			r.ask(p)
			r.cancel(p)
		}
		checkSums(t, p)
	}
	use()
	for i := range 3 {
		setHosts(p, all[1000*i:1000*(i+1)]...)
		use()
	}
	if n := len(p.listed); n > 2000 {
		t.Errorf("room for %d hosts", n)
	}
	setHosts(p, all[:3]...)
	use()
	if p.known > 16+2*3 || p.cluster.nextID > 2000 {
		t.Errorf("%d hosts of 3 are known, %d have been numbered", p.known, p.cluster.nextID)
	}
}

// An address that a client has named and that becomes a host of the cluster is one host from then on.
func TestAnAddressThatBecomesAHost(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnectionsPerEndpoint = 1 }, addresses(1)...)
	pinned := request()
	pinned.Original, pinned.Pinned = s.addr, true
	take(t, p, pinned).Release(time.Now(), true)
	setHosts(p, s.addr)
	l := take(t, p, pinned)
	if !l.to.listed || l.Reused() || len(p.unlisted) != 0 {
		t.Error("it is still another one")
	}
	r := request()
	if r.ask(p) != Parked {
		t.Error("the limit does not hold")
	}
	r.cancel(p)
	l.Release(time.Now(), false)
	checkSums(t, p)
}

func TestHostsOfBothFamiliesAndNamedTwice(t *testing.T) {
	v4, v6 := addresses(2), []netip.AddrPort(nil)
	for i := range 2 {
		v6 = append(v6, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%d]:80", i+1)))
	}
	c := NewCluster(policy.LeastRequest, slices.Concat(v4, v6, v4))
	set := c.hosts.Load()
	if len(set.byFamily[0]) != 2 || len(set.byFamily[1]) != 2 || len(set.byAddr) != 4 {
		t.Errorf("hosts %v", set.byAddr)
	}
}
