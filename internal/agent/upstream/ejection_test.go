package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

const outFor = 10 * time.Second

// judged is a pool whose endpoints are out after one failure, and who judges them.
func judged(t *testing.T, change func(*setup), n int) (*Pool, *resilience.Endpoints, []netip.AddrPort) {
	t.Helper()
	endpoints := addresses(n)
	p, _ := newPool(t, func(s *setup) {
		s.Limits.MaxConnections, s.Random = 0, rand.New(rand.NewPCG(3, 4)).Uint64
		if change != nil {
			change(s)
		}
	}, endpoints...)
	return p, judgeOf(endpoints...), endpoints
}

func judgeOf(endpoints ...netip.AddrPort) *resilience.Endpoints {
	cfg := policy.DefaultBreaker()
	cfg.ConsecutiveFailures, cfg.MaxEjectedPercent, cfg.Probes, cfg.SuccessesToClose = 1, 100, 1, 1
	cfg.OpenDuration, cfg.OpenMaxDuration, cfg.OpenJitterPercent = outFor, time.Hour, 0
	es := resilience.NewEndpoints(&cfg, time.Now(), func() float64 { return 0.5 })
	es.SetMembers(time.Now(), endpoints)
	return es
}

// eject puts an endpoint out.
func eject(es *resilience.Endpoints, addr netip.AddrPort, now time.Time) {
	b, p, ok := es.Of(addr).Allow(now)
	if ok {
		b.Done(now, p, resilience.Result{Failed: true})
	}
}

func judgedRequest(es *resilience.Endpoints, avoid ...netip.AddrPort) *asking {
	r := request()
	r.Endpoints, r.Avoid = es, avoid
	return r
}

// goes asks at a time, gives the permit back with a result, and returns where the request went.
func goes(t *testing.T, p *Pool, r *asking, now time.Time, failed bool) netip.AddrPort {
	t.Helper()
	if a := r.askAt(p, now); a > Dial {
		t.Fatalf("answer %d", a)
	}
	b, permit, chosen := p.TakePermit(&r.Request)
	if !chosen {
		t.Error("no endpoint was chosen")
	}
	if permit.Held() {
		b.Done(now, permit, resilience.Result{Failed: failed})
	}
	defer r.cancel(p)
	return r.peer()
}

// Endpoints that are out are not chosen, whatever chooses, and each gets one probe at a time when its time is over.
func TestEjectedEndpointsAreNotChosen(t *testing.T) {
	for _, balancing := range balancings {
		t.Run(balancing.String(), func(t *testing.T) {
			p, es, all := judged(t, func(s *setup) { s.LoadBalancing = balancing }, 4)
			now := time.Now()
			eject(es, all[1], now)
			eject(es, all[2], now)
			for range 50 {
				if at := goes(t, p, judgedRequest(es), now, false); at == all[1] || at == all[2] {
					t.Fatalf("%v was chosen", at)
				}
				if at := goes(t, p, judgedRequest(es, all[0]), now, false); at != all[3] {
					t.Fatalf("a retry went to %v", at)
				}
			}
			if at := goes(t, p, judgedRequest(es, all[0], all[3]), now, false); at != all[0] && at != all[3] {
				t.Errorf("a retry went to %v, which is out, before one that was tried", at)
			}
			now = now.Add(outFor)
			var asked []*asking
			for range 30 {
				r := judgedRequest(es)
				r.askAt(p, now)
				asked = append(asked, r)
			}
			for _, at := range all[1:3] {
				if n := len(slices.DeleteFunc(slices.Clone(asked), func(r *asking) bool { return r.peer() != at })); n > 1 {
					t.Errorf("%d probes at once to %v", n, at)
				}
			}
			for _, r := range asked {
				r.cancel(p)
			}
			checkSums(t, p)
		})
	}
}

// An endpoint that is let back gets a part of its share at first.
func TestAnEndpointComesBackGradually(t *testing.T) {
	for _, balancing := range balancings {
		t.Run(balancing.String(), func(t *testing.T) {
			p, es, all := judged(t, func(s *setup) { s.LoadBalancing = balancing }, 4)
			now := time.Now()
			eject(es, all[0], now)
			now = now.Add(outFor)
			b, permit, _ := es.Of(all[0]).Allow(now)
			b.Done(now, permit, resilience.Result{})
			share := func(now time.Time) (n int) {
				for range 2000 {
					if goes(t, p, judgedRequest(es), now, false) == all[0] {
						n++
					}
				}
				return n
			}
			if n := share(now); n == 0 || n > 150 {
				t.Errorf("%d of 2000 calls at once, want about 50", n)
			}
			if n := share(now.Add(outFor / 2)); n < 150 || n > 400 {
				t.Errorf("%d of 2000 calls after half the time, want about 250", n)
			}
			if n := share(now.Add(outFor)); n < 400 || n > 600 {
				t.Errorf("%d of 2000 calls after the time, want about 500", n)
			}
		})
	}
}

// Where a pod can connect to no endpoint that is in, it tries one that is out.
func TestReachingCountsForMoreThanJudging(t *testing.T) {
	p, es, all := judged(t, nil, 2)
	now := time.Now()
	eject(es, all[0], now)
	p.mu.Lock()
	hc := p.at(all[1])
	p.noteUnconnected(hc, now)
	p.mu.Unlock()
	r := judgedRequest(es)
	r.askAt(p, now)
	if _, permit, chosen := p.TakePermit(&r.Request); r.peer() != all[0] || permit.Held() || !chosen {
		t.Errorf("chose %v, a permit %v, chosen %v", r.peer(), permit.Held(), chosen)
	}
	r.cancel(p)
}

// A permit that nobody has taken over goes back with the request.
func TestAPermitGoesBackWithItsRequest(t *testing.T) {
	p, es, all := judged(t, nil, 2)
	now := time.Now()
	eject(es, all[0], now)
	now = now.Add(outFor)
	for range 10 {
		r := judgedRequest(es, all[1])
		if r.askAt(p, now); r.peer() != all[0] {
			t.Fatalf("no probe: %v", r.peer())
		}
		r.cancel(p)
	}
}

// A pod whose endpoint is ejected moves to another one.
func TestAnEjectedEndpointIsKeptByNobody(t *testing.T) {
	all := addresses(5)
	k := newAffinityPool(t, all...)
	es := judgeOf(all...)
	call := func() netip.AddrPort { return goes(t, k.pool, judgedRequest(es), k.now, false) }
	first := call()
	eject(es, first, k.now)
	second := call()
	if second == first {
		t.Fatal("the pod stays where it was")
	}
	for range 5 {
		k.pass(2 * outFor)
		k.want("when it is back", call(), second)
	}
}

// An address of a name that is out is replaced like one that cannot be connected to; where there is no other one it is called.
func TestAnEjectedAddressOfTheName(t *testing.T) {
	const first, second = "198.51.100.1:443", "198.51.100.2:443"
	p, _ := newPool(t, nil)
	es := judgeOf()
	now := time.Now()
	call := func(failed bool) string {
		r := pinnedTo(first)
		r.Endpoints = es
		return goes(t, p, r, now, failed).String()
	}
	for range 3 {
		if at := call(true); at != first {
			t.Errorf("went to %v, though no other one is known", at)
		}
	}
	if !es.Wanting() {
		t.Error("nobody wants to know others")
	}
	p.cluster.SetName(nameOf(true, first, second))
	es.SetMembers(now, addrPorts(first, second))
	if at := call(true); at != first {
		t.Errorf("went to %v", at)
	}
	for range 3 {
		if at := call(false); at != second {
			t.Errorf("went to %v, which is out", at)
		}
	}
	now = now.Add(outFor)
	if at := call(false); at != first || es.Out() != 0 {
		t.Errorf("the probe went to %v, %d are out", at, es.Out())
	}
}

// What a client is bound to is called, and not judged, whatever others think of it.
func TestPinnedCallsAreNotJudged(t *testing.T) {
	p, es, all := judged(t, nil, 3)
	eject(es, all[0], time.Now())
	r := judgedRequest(es)
	r.Pinned, r.Original = true, all[0]
	r.ask(p)
	if _, permit, _ := p.TakePermit(&r.Request); r.peer() != all[0] || permit.Held() {
		t.Errorf("went to %v, permit %v", r.peer(), permit.Held())
	}
	r.cancel(p)
}

// A parked request that avoids an endpoint gets it after all when the others are out.
func TestAParkedRequestGetsWhatIsLeft(t *testing.T) {
	p, es, all := judged(t, func(s *setup) { s.Limits.MaxConnectionsPerEndpoint = 1 }, 2)
	now := time.Now()
	eject(es, all[1], now)
	holder, waiter := judgedRequest(es), judgedRequest(es, all[0])
	if a := holder.askAt(p, now); a != Dial || holder.peer() != all[0] {
		t.Fatalf("answer %d", a)
	}
	if a := waiter.askAt(p, now); a != Parked {
		t.Fatalf("answer %d, want it to wait for the endpoint that is in", a)
	}
	holder.cancel(p)
	select {
	case <-waiter.woken:
	default:
		t.Error("it was not woken")
	}
	waiter.cancel(p)
	checkSums(t, p)
}

// However many pools choose at once, no endpoint gets more probes than may be.
func TestProbesAreExactUnderConcurrency(t *testing.T) {
	endpoints := addresses(3)
	es := judgeOf(endpoints...)
	cluster := NewCluster(Balancing{}, endpoints)
	now := time.Now()
	eject(es, endpoints[0], now)
	now = now.Add(outFor)
	var wg sync.WaitGroup
	var mu sync.Mutex
	probes := 0
	for range 8 {
		p := poolOf(t, Options{Cluster: cluster, Dialer: &plainDialer{}, Limits: policy.Defaults().Pool})
		wg.Go(func() {
			for range 50 {
				r := judgedRequest(es)
				r.askAt(p, now)
				if r.peer() == endpoints[0] {
					mu.Lock()
					probes++
					mu.Unlock()
					p.TakePermit(&r.Request) // and holds it
				}
				r.cancel(p)
			}
		})
	}
	wg.Wait()
	if probes != 1 {
		t.Errorf("%d probes", probes)
	}
}

// Choosing allocates nothing while endpoints are judged, in or out.
func TestChoosingAmongJudgedEndpointsAllocatesNothing(t *testing.T) {
	p, es, all := judged(t, nil, 4)
	now := time.Now()
	r := judgedRequest(es)
	round := func() {
		r.askAt(p, now)
		b, permit, _ := p.TakePermit(&r.Request)
		b.Done(now, permit, resilience.Result{})
		p.Cancel(now, &r.Request)
	}
	for range 50 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
	eject(es, all[0], now)
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations with one out", n)
	}
}
