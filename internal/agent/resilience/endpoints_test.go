package resilience

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// testEndpoints are n endpoints of which each is out after three failures in a row, for 10 s at first.
func testEndpoints(n int, change func(*policy.Breaker)) *Endpoints {
	cfg := policy.DefaultBreaker()
	cfg.ConsecutiveFailures, cfg.OpenDuration, cfg.OpenMaxDuration, cfg.OpenJitterPercent = 3, 10*time.Second, 80*time.Second, 0
	cfg.Probes, cfg.SuccessesToClose, cfg.MaxEjectedPercent = 1, 1, 100
	if change != nil {
		change(&cfg)
	}
	e := NewEndpoints(&cfg, t0, middle)
	e.SetMembers(t0, addrs(n))
	return e
}

func addrs(n int) (all []netip.AddrPort) {
	for i := range n {
		all = append(all, addrOf(i))
	}
	return all
}

// call makes an attempt at an endpoint and reports whether it was allowed.
func (e *Endpoints) call(now time.Time, i int, failed bool) bool {
	b, p, ok := e.Of(addrOf(i)).Allow(now)
	if ok {
		b.Done(now, p, Result{Failed: failed})
	}
	return ok
}

// ejectAfter makes attempts that fail until the endpoint is out, and returns how many that took and for how long it is.
func (e *Endpoints) ejectAfter(now time.Time, i int) (failures int, outFor time.Duration) {
	for e.Of(addrOf(i)).Takes(now, 0) {
		e.call(now, i, true)
		failures++
	}
	return failures, e.Of(addrOf(i)).breaker.Load().Status(now).Until.Sub(now)
}

// Each ejection takes as many failures as the first, and lasts longer the sooner it follows the one before.
func TestRule22_EjectionsGrowAndFade(t *testing.T) {
	e := testEndpoints(2, nil)
	now := t0
	for i, want := range []struct{ outFor, well time.Duration }{
		{10 * time.Second, time.Second},
		{20 * time.Second, time.Second},
		{40 * time.Second, time.Second},
		{80 * time.Second, time.Second},
		{80 * time.Second, 80 * time.Second},                // at most
		{80 * time.Second, 80*time.Second + 40*time.Second}, // half as long, and doubled
		{40 * time.Second, 70 * time.Second},
		{10 * time.Second, 0}, // all forgotten
	} {
		failures, outFor := e.ejectAfter(now, 0)
		if failures != 3 || outFor != want.outFor {
			t.Fatalf("ejection %d: after %d failures for %v, want 3, %v", i+1, failures, outFor, want.outFor)
		}
		now = now.Add(outFor)
		if !e.call(now, 0, false) || e.Out() != 0 {
			t.Fatalf("ejection %d: the probe did not let it back", i+1)
		}
		now = now.Add(want.well)
	}
}

// An endpoint that was let back gets its share gradually, in as long as it was out and at most 10 s.
func TestRule22_AnEndpointReturnsGradually(t *testing.T) {
	for name, tc := range map[string]struct{ outFor, ramp time.Duration }{
		"out for long": {time.Minute, 10 * time.Second}, "out for a moment": {time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			e := testEndpoints(2, func(b *policy.Breaker) { b.OpenDuration, b.OpenMaxDuration = tc.outFor, time.Hour })
			_, outFor := e.ejectAfter(t0, 0)
			back := t0.Add(outFor)
			e.call(back, 0, false)
			for _, at := range []struct{ passed, weight float64 }{{0, 0.1}, {0.05, 0.1}, {0.3, 0.3}, {0.75, 0.75}, {1, 1}, {5, 1}} {
				now := back.Add(time.Duration(at.passed * float64(tc.ramp)))
				ep := e.Of(addrOf(0))
				if !ep.Takes(now, at.weight-0.001) || ep.Takes(now, at.weight+0.001) {
					t.Errorf("%v after its return: it does not take %v of its share", now.Sub(back), at.weight)
				}
				if got := e.Differ(now); got != (at.passed < 1) {
					t.Errorf("%v after its return the endpoints differ: %v", now.Sub(back), got)
				}
			}
		})
	}
}

// A probe of which nothing is heard keeps an endpoint out no longer than a probe may take.
func TestRule22_AHungProbeDoesNotKeepAnEndpointOut(t *testing.T) {
	e := testEndpoints(2, nil)
	_, outFor := e.ejectAfter(t0, 0)
	half := t0.Add(outFor)
	ep := e.Of(addrOf(0))
	if _, p, ok := ep.Allow(half); !ok || !p.Probe() {
		t.Fatal("no probe")
	}
	if ep.Takes(half, 0) {
		t.Error("there is room for another probe")
	}
	later := half.Add(10*time.Second + 1)
	if !ep.Takes(later, 0) || !e.call(later, 0, false) || e.Out() != 0 {
		t.Error("the endpoint is not let back")
	}
}

// What has become of an attempt that began before its endpoint was put out, or went away, changes nothing.
func TestRule22_LateResultsSayNothing(t *testing.T) {
	e := testEndpoints(2, nil)
	b, early, _ := e.Of(addrOf(0)).Allow(t0)
	e.ejectAfter(t0, 0)
	e.call(t0.Add(10*time.Second), 0, false)
	b.Done(t0.Add(10*time.Second), early, Result{Failed: true})
	if n, _ := e.ejectAfter(t0.Add(10*time.Second), 0); n != 3 {
		t.Errorf("the second ejection came after %d failures", n)
	}
	b, p, _ := e.Of(addrOf(1)).Allow(t0)
	e.SetMembers(t0, addrs(1), []netip.AddrPort{addrOf(7)})
	b.Done(t0, p, Result{Failed: true})
	b.Note(t0, Result{Failed: true})
	b.Note(t0, Result{Failed: true})
	if e.Of(addrOf(1)) != nil || e.Out() != 0 { // the last one of its group has been let back
		t.Errorf("%d are out", e.Out())
	}
	e = testEndpoints(3, nil)
	b, p, _ = e.Of(addrOf(2)).Allow(t0)
	e.SetMembers(t0, append(addrs(2), addrOf(1))) // one of them is named twice
	b.Done(t0, p, Result{Failed: true})
	b.Note(t0, Result{Failed: true})
	if b.Note(t0, Result{Failed: true}); e.Out() != 0 {
		t.Error("one that is gone is out")
	}
	for i := range 2 {
		for range 3 {
			e.call(t0, i, true)
		}
	}
	if e.Out() != 1 {
		t.Errorf("%d of 2 are out", e.Out())
	}
}

// One that returns in a moment does not shorten the return of another, and each is out for what it was ejected for.
func TestRule22_EndpointsDifferUntilAllAreBack(t *testing.T) {
	e := testEndpoints(3, func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.SlowCalls = 0, &policy.SlowCalls{Threshold: time.Second, Percent: 50, MinimumRequests: 2, Window: time.Minute}
		b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 2, Window: time.Minute}
		b.OpenDuration = time.Second
	})
	slow := func(now time.Time, i int) {
		b, p, _ := e.Of(addrOf(i)).Allow(now)
		b.Done(now, p, Result{Took: time.Minute})
	}
	for now := t0; e.Of(addrOf(0)).Takes(now, 0); {
		slow(now, 0)
	}
	slow(t0.Add(time.Second), 0) // the probe: it is out for 2 s
	for range 2 {
		e.call(t0.Add(2*time.Second), 1, true)
	}
	back := t0.Add(3 * time.Second)
	e.call(back, 0, false)
	e.call(back, 1, false)
	if !e.Differ(back.Add(1500*time.Millisecond)) || e.Differ(back.Add(2*time.Second)) {
		t.Error("they are all alike too soon, or never")
	}
	if n := e.Status(back).Ejections; n[SlowCalls] != 1 || n[ErrorRate] != 1 || n[FailedProbe] != 1 {
		t.Errorf("ejections by cause: %v", n)
	}
}

// Those that are left when others go are let back if they are needed: first whose time is over first.
func TestRule22_WhoIsNeededIsLetBack(t *testing.T) {
	e := testEndpoints(6, func(b *policy.Breaker) { b.MaxEjectedPercent = 50 })
	for i := range 3 {
		e.ejectAfter(t0.Add(time.Duration(3-i)*time.Second), i)
	}
	now := t0.Add(4 * time.Second)
	if e.ejectAfterNo(now, 3); e.Out() != 3 || !e.Wanting() {
		t.Fatalf("%d are out", e.Out())
	}
	e.SetMembers(now, addrs(4))
	for i, out := range []bool{true, true, false, false} {
		if e.Of(addrOf(i)).Takes(now, 0) == out {
			t.Errorf("endpoint %d is out: %v, want %v", i, !out, out)
		}
	}
	if e.SetMembers(now, addrs(1)); e.Out() != 0 {
		t.Error("the only one is out")
	}
}

// ejectAfterNo makes attempts that fail and do not put the endpoint out.
func (e *Endpoints) ejectAfterNo(now time.Time, i int) {
	for range 10 {
		e.call(now, i, true)
	}
}

// However many report at once, no more are out than may be, and one always is in.
func TestRule22_EjectionIsExactUnderConcurrency(t *testing.T) {
	const n, workers = 8, 8
	e := testEndpoints(n, func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.MaxEjectedPercent, b.OpenDuration, b.OpenMaxDuration = 1, 50, time.Millisecond, 4*time.Millisecond
	})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			now := t0
			for i := range 4000 {
				now = now.Add(time.Duration(random.IntN(100)) * time.Microsecond)
				members := n
				if w == 0 && i%50 == 0 {
					if i%100 == 0 {
						members = 3
					}
					e.SetMembers(now, addrs(members))
				}
				if ep := e.Of(addrOf(random.IntN(n))); ep != nil {
					if b, p, ok := ep.Allow(now); ok && random.IntN(9) == 0 {
						b.Cancel(p)
					} else if ok {
						b.Done(now, p, Result{Failed: random.IntN(2) == 0})
					}
				}
				if out := e.Out(); out > n/2+workers { // some may be on their way back
					t.Errorf("%d are out", out)
				}
			}
		})
	}
	wg.Wait()
	e.SetMembers(t0.Add(time.Hour), addrs(n))
	open := 0
	for _, ep := range *e.all.Load() {
		if b := ep.breaker.Load(); b != nil && stateOf(b.epoch.Load()) != Closed {
			open++
		}
	}
	if out := e.Out(); out != open || out > n/2 || e.groups[0].out != out {
		t.Errorf("%d are out, and %d breakers open, of %d", out, open, n)
	}
}

// An edit of the breaker lets all in again; any other changes nothing.
func TestRule22_EndpointsSurviveEdits(t *testing.T) {
	e := testEndpoints(3, nil)
	e.ejectAfter(t0, 0)
	cfg := e.cfg
	if e.Reconfigure(&cfg, time.Minute); e.Out() != 1 {
		t.Error("an edit of something else let the endpoint in")
	}
	cfg.MaxEjectedPercent = 10
	if e.Reconfigure(&cfg, 0); e.Out() != 0 || !e.call(t0, 0, true) {
		t.Error("the endpoint is out under another breaker")
	}
}

// What holds for all holds for one that no call has gone to yet: how long a probe may take, and that all are to be in.
func TestRule22_EndpointsThatComeToBeUsedAreJudgedAlike(t *testing.T) {
	for name, used := range map[string]bool{"used before": true, "not yet": false} {
		t.Run(name, func(t *testing.T) {
			e := testEndpoints(2, nil)
			if used {
				e.call(t0, 0, false)
			}
			cfg := e.cfg
			e.Reconfigure(&cfg, time.Minute)
			_, outFor := e.ejectAfter(t0, 0)
			now := t0.Add(outFor)
			_, _, _ = e.Of(addrOf(0)).Allow(now) // a probe that hangs
			if e.Of(addrOf(0)).Takes(now.Add(59*time.Second), 0) || !e.Of(addrOf(0)).Takes(now.Add(61*time.Second), 0) {
				t.Error("a probe keeps others out for another time than an attempt may take")
			}
			e = testEndpoints(2, nil)
			if used {
				e.call(t0, 0, false)
			}
			e.Force(t0, Forced{Until: t0.Add(time.Minute)})
			for range 9 {
				e.call(t0, 0, true)
			}
			if e.Out() != 0 {
				t.Error("it is out though all are to be in")
			}
		})
	}
}

// An address of IPv4 is one however it is written.
func TestRule22_AMappedAddressIsOfItsFamily(t *testing.T) {
	e := testEndpoints(0, nil)
	first := e.Join(netip.MustParseAddrPort("10.0.0.1:80"))
	e.Join(netip.MustParseAddrPort("[::ffff:10.0.0.2]:80"))
	for range 3 {
		b, p, _ := first.Allow(t0)
		b.Done(t0, p, Result{Failed: true})
	}
	if e.Out() != 1 {
		t.Error("the other does not stand in for it")
	}
}

// Addresses that are met one by one can stand in for each other, up to a bound.
func TestRule22_EndpointsAreMetOneByOne(t *testing.T) {
	e := testEndpoints(0, nil)
	e.SetMembers(t0)
	for i := range 100 {
		if ep := e.Join(addrOf(i)); (ep != nil) != (i < maxJoined) || ep != e.Of(addrOf(i)) {
			t.Fatalf("endpoint %d: %v", i, ep)
		}
	}
	if e.ejectAfter(t0, 0); e.Out() != 1 {
		t.Error("not out")
	}
}

// The two cluster IPs of a Service of both families cannot stand in for each other: neither is out, though the other one is well.
func TestRule22_AnAddressOfTheOtherFamilyIsNoSubstitute(t *testing.T) {
	e := testEndpoints(0, nil)
	e.SetMembers(t0)
	for _, text := range []string{"10.96.0.10:80", "[fd00::10]:80"} {
		e.Join(netip.MustParseAddrPort(text))
	}
	for _, text := range []string{"[fd00::10]:80", "10.96.0.10:80"} {
		ep := e.Of(netip.MustParseAddrPort(text))
		for range 5 {
			if b, p, ok := ep.Allow(t0); ok {
				b.Done(t0, p, Result{Failed: true})
			}
		}
		if e.Out() != 0 {
			t.Errorf("%s is out, and there is no other of its family", text)
		}
	}
}

// Looking at, and asking, an endpoint that is well allocates nothing.
func TestEndpointsAllocateNothing(t *testing.T) {
	e := testEndpoints(3, nil)
	e.call(t0, 0, false)
	if n := testing.AllocsPerRun(100, func() {
		if e.Differ(t0) {
			t.Error("differ")
		}
		e.call(t0, 0, false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
