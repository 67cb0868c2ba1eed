package upstream

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A server that allows no exchange for the time being is not sent any, and is not asked again by a connection for each call: calls wait,
// and are served when it allows some.
func TestNoExchangeBeginsWhereTheServerAllowsNone(t *testing.T) {
	for name, inUse := range map[string]bool{"in use": true, "idle": false} {
		t.Run(name, func(t *testing.T) {
			p, d := newPool(t, nil, listen(t).addr)
			l := multiplexed(t, p, 0)
			if !inUse {
				l.Release(time.Now(), true)
			}
			checkSums(t, p)
			waiting := []*asking{shared(), shared()}
			for _, r := range waiting {
				if a := r.ask(p); a != Parked {
					t.Fatalf("the answer is %d", a)
				}
			}
			l.SetCapacity(3)
			for _, r := range waiting {
				<-r.woken
				got := redeem(t, p, r)
				if got.Conn != l.Conn {
					t.Error("another connection was used")
				}
				defer got.Release(time.Now(), true)
			}
			if inUse {
				defer l.Release(time.Now(), true)
			}
			if n := d.dials.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
			checkSums(t, p)
		})
	}
}

// Others wait no longer when the connection is gone, and other hosts are not concerned.
func TestAServerThatAllowsNothingHoldsUpNobodyElse(t *testing.T) {
	a, b := listen(t), listen(t)
	p, _ := newPool(t, nil, a.addr, b.addr)
	l := multiplexed(t, p, 0)
	for range 5 {
		r := shared()
		other := take(t, p, r)
		if other.Peer() == l.Peer() {
			t.Fatal("the host was called that allows nothing")
		}
		other.Release(time.Now(), true)
	}
	h1 := request()
	h1.Original, h1.Pinned = l.Peer(), true
	take(t, p, h1).Release(time.Now(), true) // another kind of connection has nothing to do with it
	pinned := shared()
	pinned.Original, pinned.Pinned = l.Peer(), true
	if answer := pinned.ask(p); answer != Parked {
		t.Fatalf("the answer is %d", answer)
	}
	l.Drain()
	l.Release(time.Now(), true)
	<-pinned.woken
	next := redeem(t, p, pinned)
	if next.Conn == l.Conn {
		t.Error("a connection that drains was used")
	}
	next.Release(time.Now(), true)
	checkSums(t, p)
}

// What a policy says of exchanges on a connection holds for those that are open, whether idle, in use or full.
func TestAnEditOfMaxStreamsHoldsForOpenConnections(t *testing.T) {
	limits := func(n int) policy.Pool {
		l := policy.Defaults().Pool
		l.MaxStreams, l.MaxConnections = n, 1
		return l
	}
	p, _ := newPool(t, func(o *setup) { o.Limits = limits(2) }, listen(t).addr)
	l := multiplexed(t, p, 50)
	leases := []Lease{l, take(t, p, shared())}
	waiting := []*asking{shared(), shared()}
	for _, r := range waiting {
		if r.ask(p) != Parked {
			t.Fatal("more exchanges than the policy allows")
		}
	}
	p.Reconfigure(limits(4))
	for _, r := range waiting {
		<-r.woken
		leases = append(leases, redeem(t, p, r))
	}
	p.Reconfigure(limits(3)) // of four under way
	leases[0].Release(time.Now(), true)
	r := shared()
	if r.ask(p) != Parked {
		t.Error("more exchanges than the policy allows now")
	}
	leases[1].Release(time.Now(), true)
	<-r.woken
	leases[1] = redeem(t, p, r)
	for _, l := range leases[1:] {
		l.Release(time.Now(), true)
	}
	p.Reconfigure(limits(1)) // while it is idle
	only := take(t, p, shared())
	if only.Conn != l.Conn {
		t.Error("the connection was given up")
	}
	if r.ask(p) != Parked {
		t.Error("more exchanges than the policy allows on a connection that was idle")
	}
	r.cancel(p)
	only.Release(time.Now(), true)
	checkSums(t, p)
}
