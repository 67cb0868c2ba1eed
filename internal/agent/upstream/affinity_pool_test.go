package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// affinityPool is a pool of a Service with affinity, and the time of its calls.
type affinityPool struct {
	*testing.T
	pool *Pool
	now  time.Time
}

const keepFor = time.Minute

func newAffinityPool(t *testing.T, endpoints ...netip.AddrPort) *affinityPool {
	t.Helper()
	p, _ := newPool(t, func(s *setup) { s.KeepFor, s.Affinity = keepFor, NewAffinity("pod", "shop/api:80") }, endpoints...)
	return &affinityPool{t, p, time.Now()}
}

// call makes a call that leaves some hosts alone, can be connected, and returns where it goes; the zero value if it has to wait.
func (k *affinityPool) call(avoid ...netip.AddrPort) netip.AddrPort {
	k.Helper()
	q := &Request{Original: netip.MustParseAddrPort("10.96.0.1:80"), Avoid: avoid}
	answer, _ := k.pool.Acquire(k.now, q)
	defer k.pool.Cancel(k.now, q)
	if answer == Parked {
		return netip.AddrPort{}
	}
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	k.pool.noteConnected(q.to)
	return q.Host().Addr()
}

func (k *affinityPool) pass(d time.Duration) { k.now = k.now.Add(d) }

// fail has a connect to a host fail.
func (k *affinityPool) fail(addr netip.AddrPort) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	k.pool.noteUnconnected(k.pool.at(addr), k.now)
}

func (k *affinityPool) want(what string, got, want netip.AddrPort) {
	k.Helper()
	if got != want {
		k.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestRule40_APodKeepsItsHost(t *testing.T) {
	all := addresses(5)
	k := newAffinityPool(t, all...)
	first := k.call()
	for range 20 {
		k.pass(keepFor - time.Second)
		k.want("a call before the timeout", k.call(), first)
	}
	newcomers := append(slices.Clone(all), addresses(50)[5:]...)
	setHosts(k.pool, newcomers...)
	k.want("other hosts come", k.call(), first)

	second := k.call(first)
	if second == first {
		t.Error("a retry goes to the host that it should avoid")
	}
	k.want("a call after a retry elsewhere", k.call(), first)
	k.want("a retry that may go anywhere", k.call(newcomers...), first)

	k.fail(first)
	k.want("a call while the host cannot be connected to", k.call(), second)
	k.pass(2 * minOutage)
	k.want("a call after that", k.call(), first)

	left := slices.DeleteFunc(slices.Clone(newcomers), func(a netip.AddrPort) bool { return a == first })
	setHosts(k.pool, left...)
	another := k.call()
	if another == first || !slices.Contains(left, another) {
		t.Errorf("the host has departed, and a call goes to %v", another)
	}
	setHosts(k.pool, newcomers...)
	k.want("the first one is back", k.call(), another)
	k.pass(keepFor)
	k.want("after the timeout", k.call(), k.pool.affinity.top(newcomers))
}

// A connection that is made before it is known what it carries goes where the calls go.
func TestConnectionsOutsideOfThePoolGoToTheHostThatIsKept(t *testing.T) {
	k := newAffinityPool(t, addresses(5)...)
	original := netip.MustParseAddrPort("10.96.0.1:80")
	first, ok := k.pool.KeepHost(k.now, original)
	if !ok {
		t.Fatal("no host is kept")
	}
	setHosts(k.pool, addresses(50)...)
	k.want("a call", k.call(), first)
	k.pass(keepFor - time.Second)
	_, _ = k.pool.KeepHost(k.now, original)
	k.pass(keepFor - time.Second)
	k.want("a call after a connection", k.call(), first)
	if at, ok := k.pool.KeepHost(k.now, netip.MustParseAddrPort("[fd96::1]:80")); ok {
		t.Errorf("a connection by IPv6, which the Service does not have, goes to %v", at)
	}
	p, _ := newPool(t, nil, addresses(5)...)
	if at, ok := p.KeepHost(k.now, original); ok {
		t.Errorf("a connection to a Service without affinity goes to %v", at)
	}
}

// Calls under other bindings, whose pools are others, keep the same host; another pod has one of its own.
func TestRule40_PoolsShareAnAffinity(t *testing.T) {
	all := addresses(8)
	a := newAffinityPool(t, all[:4]...)
	first := a.call()
	p, _ := newPool(t, func(s *setup) { s.KeepFor, s.Affinity, s.LoadBalancing = keepFor, a.pool.affinity, policy.RoundRobin }, all...)
	b := &affinityPool{t, p, a.now}
	b.want("a pool that has more hosts", b.call(), first)
	seen := map[netip.AddrPort]bool{}
	for _, pod := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		p, _ := newPool(t, func(s *setup) { s.KeepFor, s.Affinity = keepFor, NewAffinity(pod, "shop/api:80") }, all...)
		seen[(&affinityPool{t, p, a.now}).call()] = true
	}
	if len(seen) < 3 {
		t.Errorf("ten pods share %d hosts of eight", len(seen))
	}
}

func TestAHostAtItsLimitIsWaitedFor(t *testing.T) {
	k := newAffinityPool(t, addresses(3)...)
	limits := policy.Defaults().Pool
	limits.MaxConnectionsPerEndpoint = 1
	k.pool.Reconfigure(limits)
	first := k.call()
	busy := &Request{Original: first}
	if a, _ := k.pool.Acquire(k.now, busy); a != Dial {
		t.Fatalf("answer %d", a)
	}
	k.want("the host has as many connections as may be", k.call(), netip.AddrPort{})
	k.pool.Cancel(k.now, busy)
	k.want("the connection has ended", k.call(), first)
}

func TestFamiliesAreKeptApart(t *testing.T) {
	six := []netip.AddrPort{netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:80")}
	k := newAffinityPool(t, slices.Concat(addresses(2), six)...)
	four := k.call()
	q := &Request{Original: netip.MustParseAddrPort("[fd96::1]:80")}
	if a, _ := k.pool.Acquire(k.now, q); a != Dial || !slices.Contains(six, q.Host().Addr()) {
		t.Fatalf("answer %d", a)
	}
	k.pool.Cancel(k.now, q)
	k.want("a call by IPv4 after one by IPv6", k.call(), four)
}

// Whatever happens, a call that may go anywhere goes to the host of the call before if that is no longer than the timeout ago, the host is
// still there and can be connected to.
func TestRule40_APodKeepsItsHostWhateverHappens(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		all := addresses(6)
		k := newAffinityPool(t, all...)
		var last netip.AddrPort // where the pod's calls go
		var at, down time.Time  // of the last call; until when it may go elsewhere
		hosts := all
		for range 60 {
			kept := slices.Contains(hosts, last) && k.now.Sub(at) < keepFor
			switch op := rng.IntN(6); {
			case op == 0:
				k.pass(time.Duration(rng.IntN(40)) * time.Second)
			case op == 1:
				hosts = slices.DeleteFunc(slices.Clone(all), func(netip.AddrPort) bool { return rng.IntN(3) == 0 })
				setHosts(k.pool, hosts...)
			case op == 2 && kept:
				k.fail(last)
				down = k.now.Add(2 * maxOutage)
			case len(hosts) > 1 && op == 3 && kept:
				if k.call(last) == last && k.now.After(down) {
					t.Fatal("a retry goes to the host that it should avoid")
				}
				at = k.now
			case len(hosts) > 0:
				got := k.call()
				if kept && k.now.After(down) && got != last {
					t.Fatalf("a call goes to %v, the one before went to %v", got, last)
				}
				if !kept {
					last = got
				}
				at = k.now
			}
		}
	}
}
