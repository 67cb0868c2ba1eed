package capture_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/netns"
	"fairlead.dev/fairlead/internal/agent/netns/netnstest"
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
