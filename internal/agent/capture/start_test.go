package capture_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestACaptureBeginsWithItsGoal looks into many pods that nobody wants captured, in which nothing may be installed on the way.
func TestACaptureBeginsWithItsGoal(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	for range 20 {
		at := newSandboxes()
		for i := range 500 {
			at.now[strconv.Itoa(i)] = sandbox(strconv.Itoa(i), pod.Path)
		}
		r := &fakeAttachment{}
		m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment { return r }}
		b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m.new })
		b.want(t)
		netnstest.Eventually(t, 10*time.Second, "all have been looked into", func() bool { return len(b.State()) == 0 })
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if n := r.installed.Load(); n > 0 {
			t.Fatalf("installed in %d pods that are not wanted", n)
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
	m := &fakeMechanism{make: func(ns *netns.Namespace) mechanism.Attachment {
		first := true // by the podCapture itself
		return &fakeAttachment{renew: func() error {
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
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m.new, 300*time.Millisecond })
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
	r := &fakeAttachment{install: mechanism.ErrSuperseded, leased: func() (bool, error) {
		select {
		case looked <- struct{}{}:
		default:
		}
		return false, errors.New("no descriptor to look with")
	}}
	m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m.new, 60*time.Millisecond })
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

// TestWhatConnectionsNeedStaysWhileNobodyCanLook has the agent out of descriptors when a capture ends: what was captured may have data
// under way still.
func TestWhatConnectionsNeedStaysWhileNobodyCanLook(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	var looks atomic.Int64
	r := &fakeAttachment{}
	r.busy = func() (int, error) {
		if looks.Add(1) <= 2 {
			return 0, os.NewSyscallError("socket", unix.EMFILE)
		}
		return 0, nil
	}
	m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m.new })
	b.want(t, spec("a", everything))
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "the capture has ended", func() bool { return len(b.State()) == 0 })
	if n := looks.Load(); n != 3 || r.removed.Load() != 1 {
		t.Errorf("looked %d times and removed %d times, want to look until there is an answer and then to remove", n, r.removed.Load())
	}
}

// TestOneFailureIsNotYetAProblem has the kernel fail once while a pod is being captured. Policy is acknowledged when captures are done, so a
// failure that is over a moment later must not count; one that stays must not hold up the others.
func TestOneFailureIsNotYetAProblem(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	for name, failures := range map[string]int64{"in one attempt": 2, "always": math.MaxInt64} {
		t.Run(name, func(t *testing.T) {
			pod := netnstest.New(t, host)
			at := newSandboxes()
			at.run("a", "one", pod.Path)
			var renewals atomic.Int64
			m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment {
				return &fakeAttachment{renew: func() error {
					if renewals.Add(1) <= failures {
						return os.NewSyscallError("send", unix.EAGAIN)
					}
					return nil
				}}
			}}
			b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m.new })
			b.Reconcile(map[string]capture.PodSpec{"a": spec("a", everything)})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := b.AwaitReached(ctx); err != nil {
				t.Fatal(err)
			}
			if got, want := b.State()[0].Captured, failures == 2; got != want {
				t.Errorf("reached with captured = %t, want %t", got, want)
			}
		})
	}
}

// TestRulesThatCouldNotBeWrittenAgainAreWrittenLater has the kernel refuse once what is to replace rules that the pod has changed. It does not hear
// of the change a second time.
func TestRulesThatCouldNotBeWrittenAgainAreWrittenLater(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	r := &fakeAttachment{fails: []error{os.NewSyscallError("sendmsg", unix.ENOBUFS)}}
	m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m.new, 300*time.Millisecond })
	b.want(t, spec("a", everything))
	r.damaged.Store(true)
	netnstest.Eventually(t, 3*time.Second, "the rules are written again", func() bool {
		return !r.damaged.Load() && len(b.Problems()) == 0
	})
}
