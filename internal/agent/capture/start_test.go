package capture_test

import (
	"context"
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// fakeMechanism redirects nothing; it counts and does what the test says.
type fakeMechanism struct {
	opened atomic.Int64
	port   func() uint16
	make   func(*netns.Namespace) capture.Redirector
}

func (f *fakeMechanism) PortInUse(*netns.Namespace) (uint16, error) {
	if f.port == nil {
		return 0, nil
	}
	return f.port(), nil
}

func (f *fakeMechanism) Open(ns *netns.Namespace, _ capture.MechanismOptions) (capture.Redirector, error) {
	f.opened.Add(1)
	if f.make == nil {
		return &fakeRedirector{}, nil
	}
	return f.make(ns), nil
}

func (f *fakeMechanism) Original(conn *net.TCPConn) (netip.AddrPort, error) {
	return nft.OriginalDestination(conn)
}

// fakeRedirector says yes to everything but what the test overrides.
type fakeRedirector struct {
	renew  func() error
	leased func() (bool, error)
	busy   func() (int, error)
	older  func() []netip.AddrPort

	removed, installed, renewed, looked atomic.Int64 // count Remove, Install, Renew, and the looks into the kernel

	damaged atomic.Bool // what Intact denies, and Disturbed tells of until then
	known   atomic.Bool // that it is

	mu      sync.Mutex
	install error   // what Install says
	fails   []error // what TakeOver says, one after the other
	taken   int     // counts TakeOver
}

func (f *fakeRedirector) Install(capture.Redirect) error {
	f.installed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.install == nil {
		f.damaged.Store(false)
	}
	return f.install
}

func (f *fakeRedirector) TakeOver(capture.Redirect) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken++
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		return err
	}
	f.damaged.Store(false)
	return nil
}

func (f *fakeRedirector) takeovers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

func (f *fakeRedirector) Disturbed() bool { return f.damaged.Load() && !f.known.Load() }

func (f *fakeRedirector) Intact() (bool, error) {
	f.looked.Add(1)
	f.known.Store(f.damaged.Load())
	return !f.damaged.Load(), nil
}

func (f *fakeRedirector) Foreign() ([]string, error) {
	f.looked.Add(1)
	return nil, nil
}

func (f *fakeRedirector) Older(capture.Redirect) ([]netip.AddrPort, error) {
	f.looked.Add(1)
	if f.older == nil {
		return nil, nil
	}
	return f.older(), nil
}

func (f *fakeRedirector) Remembers(capture.Mapping) bool { return true }

func (f *fakeRedirector) Restore([]capture.Mapping) (int, error) { return 0, nil }

func (f *fakeRedirector) Own(*net.TCPConn, netip.AddrPort) (bool, error) { return false, nil }

func (f *fakeRedirector) Renew() error {
	f.renewed.Add(1)
	if f.renew == nil {
		return nil
	}
	return f.renew()
}

func (f *fakeRedirector) Leased() (bool, error) {
	if f.leased == nil {
		return false, nil
	}
	return f.leased()
}

func (f *fakeRedirector) Busy() (int, error) {
	if f.busy == nil {
		return 0, nil
	}
	return f.busy()
}

func (f *fakeRedirector) Remove() error {
	f.removed.Add(1)
	return nil
}

func (f *fakeRedirector) Yield() error        { return nil }
func (f *fakeRedirector) StopRedirect() error { return nil }
func (f *fakeRedirector) Close() error        { return nil }

// TestDoorBeginsWithItsGoal looks into many pods that nobody wants captured, in which nothing may be opened on the way.
func TestDoorBeginsWithItsGoal(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	for range 20 {
		at := newSandboxes()
		for i := range 500 {
			at.now[strconv.Itoa(i)] = sandbox(strconv.Itoa(i), pod.Path)
		}
		m := &fakeMechanism{}
		b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m })
		b.want(t)
		netnstest.Eventually(t, 10*time.Second, "all have been looked into", func() bool { return len(b.State()) == 0 })
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if n := m.opened.Load(); n > 0 {
			t.Fatalf("redirecting was prepared in %d pods that are not wanted", n)
		}
	}
}

// TestOnePodsSlowKernelDelaysNoOthersLease has the kernel take very long over the lease of one pod, as it does when the pod changes
// rules of its own all the time, and wants the other pods' leases to be renewed meanwhile.
func TestOnePodsSlowKernelDelaysNoOthersLease(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pods := map[netns.ID]bool{} // whether slow
	at := newSandboxes()
	var specs []capture.PodSpec
	for i := range 6 {
		uid := strconv.Itoa(i)
		n := netnstest.New(t, host)
		pods[n.ID()] = i < 3
		at.run(uid, uid, n.Path)
		specs = append(specs, spec(uid, everything))
	}
	var renewals, stuck atomic.Int64
	release := make(chan struct{})
	m := &fakeMechanism{make: func(ns *netns.Namespace) capture.Redirector {
		first := true // held by the door itself
		return &fakeRedirector{renew: func() error {
			if pods[ns.ID()] && !first {
				stuck.Add(1)
				<-release
			} else if !pods[ns.ID()] {
				renewals.Add(1)
			}
			first = false
			return nil
		}}
	}}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m, 300*time.Millisecond })
	t.Cleanup(func() { close(release) })
	b.want(t, specs...)
	netnstest.Eventually(t, 3*time.Second, "all slow pods hold up whoever renews their leases", func() bool { return stuck.Load() == 3 })
	before := renewals.Load()
	netnstest.Eventually(t, 3*time.Second, "the others' leases are renewed again and again", func() bool { return renewals.Load() >= before+15 })
}

// TestSupersededAgentThatCannotLook does not take a pod back when it merely fails to see whether the other agent is alive.
func TestSupersededAgentThatCannotLook(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	looked := make(chan struct{}, 100)
	r := &fakeRedirector{install: nft.ErrSuperseded, leased: func() (bool, error) {
		select {
		case looked <- struct{}{}:
		default:
		}
		return false, errors.New("no descriptor to look with")
	}}
	m := &fakeMechanism{make: func(*netns.Namespace) capture.Redirector { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m, 60*time.Millisecond })
	b.want(t, spec("a", everything))
	for range 3 {
		select {
		case <-looked:
		case <-time.After(30 * time.Second):
			t.Fatal("never looked whether the other agent is alive")
		}
	}
	if n := r.takeovers(); n > 0 {
		t.Errorf("took the pod back %d times without knowing that the other agent is gone", n)
	}
}

// TestWhatConnectionsNeedStaysWhileNobodyCanLook has the agent out of descriptors when a door closes: what was captured may have data
// under way still.
func TestWhatConnectionsNeedStaysWhileNobodyCanLook(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	var looks atomic.Int64
	r := &fakeRedirector{}
	r.busy = func() (int, error) {
		if looks.Add(1) <= 2 {
			return 0, os.NewSyscallError("socket", unix.EMFILE)
		}
		return 0, nil
	}
	m := &fakeMechanism{make: func(*netns.Namespace) capture.Redirector { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m })
	b.want(t, spec("a", everything))
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "the door is closed", func() bool { return len(b.State()) == 0 })
	if n := looks.Load(); n != 3 || r.removed.Load() != 1 {
		t.Errorf("looked %d times and removed %d times, want to look until there is an answer and then to remove", n, r.removed.Load())
	}
}

// TestOneFailureIsNotTheLastWord has the kernel fail once while a door is opened. Policy is acknowledged when doors are settled, so a
// failure that is mended a moment later must not count; one that stays must not hold up the others.
func TestOneFailureIsNotTheLastWord(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	for name, failures := range map[string]int64{"in one attempt": 2, "always": math.MaxInt64} {
		t.Run(name, func(t *testing.T) {
			pod := netnstest.New(t, host)
			at := newSandboxes()
			at.run("a", "one", pod.Path)
			var renewals atomic.Int64
			m := &fakeMechanism{make: func(*netns.Namespace) capture.Redirector {
				return &fakeRedirector{renew: func() error {
					if renewals.Add(1) <= failures {
						return os.NewSyscallError("send", unix.EAGAIN)
					}
					return nil
				}}
			}}
			b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m })
			b.Reconcile(map[string]capture.PodSpec{"a": spec("a", everything)})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := b.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			if got, want := b.State()[0].Captured, failures == 2; got != want {
				t.Errorf("settled with captured = %t, want %t", got, want)
			}
		})
	}
}

// TestRulesThatCouldNotBeWrittenAgainAreWrittenLater has the kernel refuse once what is to replace rules that the pod has changed. It is not told
// of the change a second time.
func TestRulesThatCouldNotBeWrittenAgainAreWrittenLater(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	r := &fakeRedirector{fails: []error{os.NewSyscallError("sendmsg", unix.ENOBUFS)}}
	m := &fakeMechanism{make: func(*netns.Namespace) capture.Redirector { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m, 300*time.Millisecond })
	b.want(t, spec("a", everything))
	r.damaged.Store(true)
	netnstest.Eventually(t, 3*time.Second, "the rules are written again", func() bool {
		return !r.damaged.Load() && len(b.Problems()) == 0
	})
}
