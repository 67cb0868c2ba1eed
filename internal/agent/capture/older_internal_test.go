package capture

import (
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// meshMark is on what a mesh's proxy sends, and stands for the user that it runs as.
const meshMark = 1337

// meshInPod has a proxy in the pod take everything but what it sends itself.
func meshInPod(t *testing.T, pod *netnstest.Net) {
	t.Helper()
	rules := exec.CommandContext(t.Context(), "nsenter", "--net="+pod.Path, "nft", "-f", "-")
	rules.Stdin = strings.NewReader(`table inet mesh {
		chain output { type nat hook output priority -100; meta mark 1337 return; fib daddr type local return; tcp dport 1-65535 redirect to :15001; }
	}`)
	if out, err := rules.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	m, err := nft.New(mechanism.Settings{Agent: "mesh", Mark: meshMark, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Attach(pod.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"127.0.0.1:15001", "[::1]:15001"} {
		own := netip.MustParseAddrPort(at)
		pod.Handle(t, own, func(c *net.TCPConn) {
			original, err := a.Original(c, own)
			if err != nil {
				t.Error(err)
				return
			}
			out, err := pod.Dial(t.Context(), original, meshMark)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			greeting := make([]byte, 64)
			n, _ := out.Read(greeting)
			_, _ = c.Write(greeting[:n])
			_, _ = io.Copy(io.Discard, c) // until the caller has enough
		})
	}
}

// TestConnectionsOfAnotherProxysPodAreNotOlder: what another proxy in the pod has taken is no connection that could be governed; what the proxy
// made of it is, and counts if it was made before. What the agent has made counts never.
func TestConnectionsOfAnotherProxysPodAreNotOlder(t *testing.T) {
	netnstest.Privileged(t)
	const port = 14001
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	for _, at := range []string{"127.0.0.1:14001", "[::1]:14001"} {
		pod.Serve(t, netip.MustParseAddrPort(at), "captured")
	}
	for _, at := range []string{"0.0.0.0:80", "[::]:80"} {
		world.Serve(t, netip.MustParseAddrPort(at), "direct")
	}
	meshInPod(t, pod)
	m, err := nft.New(mechanism.Settings{Agent: "agent", Mark: DefaultMark, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		r := intent.Redirect{Addrs: []netip.AddrPort{netip.MustParseAddrPort(to)}}
		a, err := m.Attach(pod.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"direct", "captured"} {
			greeted(t, pod, to, 0, want)
			if err := a.Install(mechanism.Intent{Redirect: r, Port: port, IPv6: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Renew(mechanism.Connection{}); err != nil {
				t.Fatal(err)
			}
			greeted(t, pod, to, DefaultMark, "direct")
			if older, err := olderConnections(pod.Namespace, DefaultMark, true, r); err != nil || len(older) != 1 {
				t.Errorf("older connections to %s: %v, %v, want that of the proxy before the policy", to, older, err)
			}
		}
		if err := a.Remove(); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
	}
}

// greeted connects, and stays connected until the test ends.
func greeted(t *testing.T, pod *netnstest.Net, to string, mark uint32, want string) {
	t.Helper()
	c, err := pod.Dial(t.Context(), netip.MustParseAddrPort(to), mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("call to %s with mark %x: %q, %v, want %q", to, mark, got, err, want)
	}
}
