package nft_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestRule39_UnservedDestinationsAreRedirectedWithoutTheAgentAlone: a Service without endpoints is refused by the cluster while the agent is
// there, and by the kernel, whoever may be behind it by then, once it is gone.
func TestRule39_UnservedDestinationsAreRedirectedWithoutTheAgentAlone(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	table := open(t, pod, options("unserved"))
	services := []string{"10.99.0.1:80", "[fd99::1]:80"}
	for _, r := range []intent.Redirect{
		{Unserved: addrs(services...), FailClosed: true},
		{Unserved: addrs(services...), Addrs: addrs("10.99.0.2:80"), FailClosed: true},
	} {
		install(t, table, r)
		for _, to := range services {
			expect(t, pod, to, "direct")
		}
		if err := table.Yield(); err != nil {
			t.Fatal(err)
		}
		for _, to := range services {
			expect(t, pod, to, "captured "+to)
		}
		expect(t, pod, "10.99.0.3:80", "direct")
	}
	install(t, table, intent.Redirect{Unserved: addrs(services...)})
	if err := table.Yield(); err != nil {
		t.Fatal(err)
	}
	expect(t, pod, services[0], "direct")
}

// TestLinkLocalDestinationsGoDirect: such an address means something only together with an interface, which the kernel does not say, so
// nobody could dial it on the pod's behalf.
func TestLinkLocalDestinationsGoDirect(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	call := func() (string, error) {
		there, _ := linkLocal(t, out)
		_, index := linkLocal(t, pod)
		c, got, err := callWith(pod, net.Dialer{Timeout: time.Second}, fmt.Sprintf("[%s%%%d]:80", there, index))
		if err == nil {
			_ = c.Close()
		}
		return got, err
	}
	netnstest.Eventually(t, 5*time.Second, "the link-local addresses may be used", func() bool { _, err := call(); return err == nil })
	install(t, open(t, pod, options("link")), intent.Redirect{All: true})
	if got, err := call(); err != nil || got != "direct" {
		t.Errorf("call to a link-local address: %q, %v, want direct", got, err)
	}
}

// linkLocal is the link-local address of n, and the index of the interface that has it.
func linkLocal(t *testing.T, n *netnstest.Net) (address net.IP, index int) {
	t.Helper()
	if err := n.Do(func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			addrs, _ := l.Addrs()
			for _, a := range addrs {
				if ip := a.(*net.IPNet).IP; ip.To4() == nil && ip.IsLinkLocalUnicast() {
					address, index = ip, l.Index
				}
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return address, index
}
