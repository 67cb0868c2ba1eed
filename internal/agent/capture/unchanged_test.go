package capture_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/policy"
)

// TestRule38_UnchangedPodsAreLeftAlone: an update of the policy touches the pods for which it changes what is redirected, and no
// others: without asking the kernel anything.
func TestRule38_UnchangedPodsAreLeftAlone(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	at := newSandboxes()
	var mu sync.Mutex
	attachments := map[netns.ID]*fakeAttachment{}
	m := &fakeMechanism{make: func(ns *netns.Namespace) mechanism.Attachment {
		mu.Lock()
		defer mu.Unlock()
		attachments[ns.ID()] = &fakeAttachment{}
		return attachments[ns.ID()]
	}}
	var walks atomic.Int64 // over all sockets
	b := run(t, host, at, func(o *capture.Options) {
		o.Mechanism, o.Lease = m.new, time.Hour // nobody renews meanwhile
		o.CountOlder(func() { walks.Add(1) })
	})
	var pods []*netnstest.Net
	for i := range 20 {
		pods = append(pods, netnstest.New(t, host))
		at.run(fmt.Sprint(i), fmt.Sprint(i), pods[i].Path)
	}
	const updates = 30
	for update := range updates {
		var specs []capture.PodSpec
		for i := range pods {
			r := intent.Redirect{Ports: []uint16{80}, Addrs: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}}
			if i == 0 {
				r.Ports[0] += uint16(update)
			}
			s := spec(fmt.Sprint(i), r)
			s.Policies = []policy.ID{{Name: fmt.Sprint(update)}} // which changes what is reported of a pod, and nothing that is done
			specs = append(specs, s)
		}
		b.want(t, specs...)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, pod := range pods {
		r, want := attachments[pod.ID()], int64(1)
		if i == 0 {
			want = updates
		}
		if installed, renewed := r.installed.Load(), r.renewed.Load(); installed != want || renewed != 1 {
			t.Errorf("pod %d: installed %d times and renewed %d times, want %d and once", i, installed, renewed, want)
		}
		if looked := r.looked.Load(); looked > want {
			t.Errorf("pod %d: %d looks into the kernel", i, looked)
		}
	}
	if n, most := walks.Load(), int64(len(pods)-1+updates); n > most {
		t.Errorf("%d walks over all sockets, want at most %d", n, most)
	}
}

// TestOtherAddressesAreNotCountedAtOnce: endpoints come and go all the time, and to look over all sockets of the node each time would be dear.
func TestOtherAddressesAreNotCountedAtOnce(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	r := &fakeAttachment{}
	m := &fakeMechanism{make: func(*netns.Namespace) mechanism.Attachment { return r }}
	b := run(t, host, at, func(o *capture.Options) {
		o.Mechanism, o.Lease = m.new, time.Hour
		o.CountOlder(func() { r.looked.Add(1) })
	})
	to := func(i int) intent.Redirect {
		return intent.Redirect{Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)}}
	}
	for i := range 20 {
		b.want(t, spec("a", to(i)))
	}
	if installed, looked := r.installed.Load(), r.looked.Load(); installed != 20 || looked != 2 {
		t.Errorf("installed %d times and looked %d times, want 20 and once for each of two things", installed, looked)
	}
	b.want(t, spec("a", intent.Redirect{Addrs: to(0).Addrs, Ports: []uint16{443}}))
	if looked := r.looked.Load(); looked != 4 {
		t.Errorf("looked %d times after another policy, want 4", looked)
	}
}
