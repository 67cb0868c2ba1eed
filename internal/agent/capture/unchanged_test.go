package capture_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/policy"
)

// TestRule38_UnchangedPodsAreLeftAlone: an update of the policy touches the pods for which it changes what is redirected, and no
// others: not with a word to the kernel.
func TestRule38_UnchangedPodsAreLeftAlone(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	at := newSandboxes()
	var mu sync.Mutex
	redirectors := map[netns.ID]*fakeRedirector{}
	m := &fakeMechanism{make: func(ns *netns.Namespace) capture.Redirector {
		mu.Lock()
		defer mu.Unlock()
		redirectors[ns.ID()] = &fakeRedirector{}
		return redirectors[ns.ID()]
	}}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m, time.Hour }) // nobody renews meanwhile
	var pods []*netnstest.Net
	for i := range 20 {
		pods = append(pods, netnstest.New(t, host))
		at.run(fmt.Sprint(i), fmt.Sprint(i), pods[i].Path)
	}
	const updates = 30
	for update := range updates {
		var specs []capture.PodSpec
		for i := range pods {
			r := capture.Redirect{Ports: []uint16{80}, Addrs: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}}
			if i == 0 {
				r.Ports[0] += uint16(update)
			}
			s := spec(fmt.Sprint(i), r)
			s.Policies = []policy.ID{{Name: fmt.Sprint(update)}} // which changes what is told of a pod, and nothing that is done
			specs = append(specs, s)
		}
		b.want(t, specs...)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, pod := range pods {
		r, want := redirectors[pod.ID()], int64(1)
		if i == 0 {
			want = updates
		}
		if installed, renewed := r.installed.Load(), r.renewed.Load(); installed != want || renewed != 1 {
			t.Errorf("pod %d: installed %d times and renewed %d times, want %d and once", i, installed, renewed, want)
		}
		if looked := r.looked.Load(); looked > 2*want {
			t.Errorf("pod %d: %d looks into the kernel", i, looked)
		}
	}
}

// TestOtherAddressesAreNoNews: endpoints come and go all the time, and to look over all sockets of the node each time would be dear.
func TestOtherAddressesAreNoNews(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	r := &fakeRedirector{}
	m := &fakeMechanism{make: func(*netns.Namespace) capture.Redirector { return r }}
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism, o.Lease = m, time.Hour })
	to := func(i int) capture.Redirect {
		return capture.Redirect{Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)}}
	}
	for i := range 20 {
		b.want(t, spec("a", to(i)))
	}
	if installed, looked := r.installed.Load(), r.looked.Load(); installed != 20 || looked != 2 {
		t.Errorf("installed %d times and looked %d times, want 20 and once for each of two things", installed, looked)
	}
	b.want(t, spec("a", capture.Redirect{Addrs: to(0).Addrs, Ports: []uint16{443}}))
	if looked := r.looked.Load(); looked != 4 {
		t.Errorf("looked %d times after another policy, want 4", looked)
	}
}
