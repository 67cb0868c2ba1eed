package capture_test

import (
	"net"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// A pod may have one family alone; what it calls there is captured, and what the agent connects to leaves from the pod's own address.
func TestAPodOfOneFamilyIsCaptured(t *testing.T) {
	onEach(t, func(t *testing.T, k kernel) {
		for name, tc := range map[string]struct {
			drop func(t testing.TB, pod *netnstest.Net)
			from netip.Addr
			to   string
		}{
			"IPv6 alone": {func(t testing.TB, pod *netnstest.Net) { netnstest.DropIPv4(t, pod, "eth0") },
				netnstest.Pod6, "[fd99::1]:80"},
			"IPv6 alone, also on the loopback": {func(t testing.TB, pod *netnstest.Net) { netnstest.DropIPv4(t, pod, "eth0", "lo") },
				netnstest.Pod6, "[fd99::1]:80"},
			"IPv4 alone": {func(t testing.TB, pod *netnstest.Net) { netnstest.DisableIPv6(t, pod) },
				netnstest.Pod4, "10.99.0.1:80"},
		} {
			t.Run(name, func(t *testing.T) {
				host := netnstest.Host(t)
				pod, world := pair(t, host, k)
				serve(t, world)
				tc.drop(t, pod.Net)
				at := newSandboxes()
				at.run("a", "one", pod.Path)
				b := run(t, host, at, using(k, nil))
				b.want(t, spec("a", everything))
				expect(t, pod, tc.to, "agent a "+tc.to)
				c, err := dialFor(t, b, tc.to)
				if err != nil {
					t.Fatal(err)
				}
				if from := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != tc.from {
					t.Errorf("dialled from %s, want the pod's %s", from, tc.from)
				}
				_ = c.Close()
				b.want(t)
				netnstest.Eventually(t, 0, "nothing is left", func() bool { return pod.left(t) == "" && len(b.State()) == 0 })
			})
		}
	})
}

// A pod that comes to have a family is captured there too, the next time that anybody looks.
func TestAFamilyThatComesLaterIsCaptured(t *testing.T) {
	onEach(t, func(t *testing.T, k kernel) {
		host := netnstest.Host(t)
		pod, world := pair(t, host, k)
		serve(t, world)
		netnstest.DisableIPv6(t, pod.Net)
		at := newSandboxes()
		at.run("a", "one", pod.Path)
		b := run(t, host, at, using(k, nil))
		b.want(t, spec("a", intent.Redirect{Ports: []uint16{80, 81}}))
		expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
		netnstest.EnableIPv6(t, pod.Net)
		expect(t, pod, "[fd99::1]:80", "direct")
		b.want(t, spec("a", intent.Redirect{Ports: []uint16{80}}))
		expect(t, pod, "[fd99::1]:80", "agent a [fd99::1]:80")
		expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	})
}
