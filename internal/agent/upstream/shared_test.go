package upstream

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// twoPods returns the pools of two pods at one cluster of two hosts.
func twoPods(t *testing.T, balancing policy.LoadBalancing) (a, b *Pool) {
	a, d := newPool(t, func(o *setup) { seeded(o); o.LoadBalancing = balancing }, addresses(2)...)
	return a, poolOf(t, Options{Cluster: a.cluster, Dialer: d, Limits: a.limits, Random: rand.New(rand.NewPCG(3, 4)).Uint64})
}

// That one pod cannot connect to a host may be the doing of a NetworkPolicy that concerns this pod alone: others use the host as before.
func TestWhatOnePodCannotReachIsLeftOutByThatPodAlone(t *testing.T) {
	for name, err := range map[string]error{
		"refused": syscall.ECONNREFUSED, "reset": syscall.ECONNRESET, "unreachable": syscall.EHOSTUNREACH, "no reply": context.DeadlineExceeded,
		"forbidden": syscall.EPERM,
	} {
		for _, balancing := range balancings {
			t.Run(name+" "+balancing.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					barred, free := twoPods(t, balancing)
					bad := addresses(2)[0]
					done := make(chan struct{})
					c := &crowd{pool: barred, callers: 1, ends: unconnectable(bad, 0, err)}
					go func() { defer close(done); c.run(20 * time.Second) }()
					other := &crowd{pool: free, callers: 10}
					other.run(20 * time.Second)
					<-done
					if other.badly > 0 {
						t.Errorf("%d calls of the other pod failed", other.badly)
					}
					if share := other.share(bad); share < 0.4 || share > 0.6 {
						t.Errorf("the other pod sends %.0f %% of its calls there", 100*share)
					}
					// An error that is the agent's own counts against no host, so the pod goes on trying.
					if n := c.at[bad]; name != "forbidden" && n > 7 {
						t.Errorf("the pod itself tried it %d times in 20 s", n)
					}
				})
			})
		}
	}
}

// What fails behind an established connection is the host's own doing: every pod's calls count, whoever made them. But it only weighs.
func TestFailuresWeighForAllPods(t *testing.T) {
	a, b := twoPods(t, policy.LeastRequest)
	bad := addresses(2)[0]
	now := time.Now()
	for range 20 {
		r := request()
		r.Avoid = addresses(2)[1:]
		r.ask(a)
		leaseOf(a, r.to).Report(now, true)
		r.cancel(a)
	}
	count := func(avoid ...int) (n int) {
		for range 50 {
			r := request()
			for _, i := range avoid {
				r.Avoid = append(r.Avoid, addresses(2)[i])
			}
			r.askAt(b, now)
			if r.peer() == bad {
				n++
			}
			r.cancel(b)
		}
		return n
	}
	if n := count(); n > 0 {
		t.Errorf("the other pod sent %d of 50 calls to the host that fails", n)
	}
	if n := count(1); n != 50 {
		t.Errorf("where it is the only one left, %d of 50 calls went there", n)
	}
	if len(a.down)+len(b.down) != 0 {
		t.Error("a host is left out for failures")
	}
}

// A pod that goes on to call one host, which fails it, keeps nobody away from that host.
func TestFailuresOfPinnedCallsDoNotWeigh(t *testing.T) {
	a, d := newPool(t, func(o *setup) { seeded(o) }, listen(t).addr, addresses(1)[0])
	r := request()
	r.Original, r.Pinned = a.set.byFamily[0][0].addr, true
	for range 20 {
		l := take(t, a, r)
		l.Report(time.Now(), true)
		l.Release(time.Now(), true)
	}
	d.err = syscall.ECONNREFUSED
	r.Original = addresses(1)[0]
	r.ask(a)
	if _, err := a.Dial(t.Context(), &r.Request); err == nil {
		t.Error("connected")
	}
	for _, h := range a.set.byFamily[0] {
		if h.failing.Load() {
			t.Errorf("%v has failures", h.addr)
		}
	}
}

// Least request counts the calls of all pods of the node.
func TestTheCallsOfAllPodsCount(t *testing.T) {
	a, b := twoPods(t, policy.LeastRequest)
	for range 10 {
		r := request()
		r.Original, r.Pinned = addresses(2)[0], true
		r.ask(a)
	}
	for range 10 {
		r := request()
		if r.ask(b); r.peer() != addresses(2)[1] {
			t.Fatal("a call went to the busier host")
		}
	}
	r := request()
	r.ask(b)
	for _, h := range a.set.byFamily[0] {
		if n := h.outstanding.Load(); n < 10 || n > 11 {
			t.Errorf("%v: %d calls are under way", h.addr, n)
		}
	}
}
