package socketlb_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb/socketlbtest"
)

var (
	service4, service6   = netip.MustParseAddrPort("10.99.0.7:80"), netip.MustParseAddrPort("[fd99::7]:80")
	endpoint4, endpoint6 = netip.MustParseAddrPort("10.98.0.1:8080"), netip.MustParseAddrPort("[fd98::1]:8080")
	other4, other6       = netip.MustParseAddrPort("10.99.0.7:81"), netip.MustParseAddrPort("[fd99::8]:80")
)

func probe(t *testing.T, n *netnstest.Net, to netip.AddrPort) (translated bool, err error) {
	t.Helper()
	if derr := n.Do(func() error { translated, err = socketlb.Probe(to); return nil }); derr != nil {
		t.Fatal(derr)
	}
	return translated, err
}

func TestProbe(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	before := sent(t, pod)
	want := func(to netip.AddrPort, want bool) {
		t.Helper()
		if got, err := probe(t, pod, to); got != want || err != nil {
			t.Errorf("%s: translated %v, %v, want %v", to, got, err, want)
		}
	}
	for _, to := range []netip.AddrPort{service4, service6, other4, other6, netip.MustParseAddrPort("[::ffff:10.99.0.7]:80")} {
		want(to, false)
	}
	socketlbtest.Translate(t, map[netip.AddrPort]netip.AddrPort{service4: endpoint4, service6: endpoint6})
	for to, translated := range map[netip.AddrPort]bool{service4: true, service6: true, other4: false, other6: false, endpoint4: false} {
		want(to, translated)
	}
	if after := sent(t, pod); after != before {
		t.Errorf("the pod had sent %s segments, and has sent %s after the probes", before, after)
	}
	t.Run("the program translates as Cilium does", func(t *testing.T) {
		for service, endpoint := range map[netip.AddrPort]netip.AddrPort{service4: endpoint4, service6: endpoint6} {
			world.Serve(t, endpoint, "hello")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err := pod.Dial(ctx, service, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if got := c.RemoteAddr().(*net.TCPAddr).AddrPort(); got != service {
				t.Errorf("the caller sees the peer %s, want the Service %s", got, service)
			}
			if sent(t, pod) == before {
				t.Error("segments are not counted")
			}
		}
	})
}

// sent is the number of TCP segments that a pod has sent.
func sent(t *testing.T, pod *netnstest.Net) string {
	t.Helper()
	var counters []byte
	err := pod.Do(func() (err error) {
		counters, err = os.ReadFile("/proc/thread-self/net/snmp") // /proc/self is the main thread's
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(counters)) {
		if fields := strings.Fields(line); fields[0] == "Tcp:" {
			if i := slices.Index(names, "OutSegs"); i > 0 {
				return fields[i]
			}
			names = fields
		}
	}
	t.Fatal("no counter of TCP segments")
	return ""
}

// A probe that cannot be made is an error, and says nothing.
func TestProbeWithoutARoute(t *testing.T) {
	netnstest.Privileged(t)
	pod := netnstest.New(t, netnstest.Host(t))
	for _, to := range []netip.AddrPort{service4, service6} {
		if translated, err := probe(t, pod, to); translated || err == nil {
			t.Errorf("%s: translated %v without an error", to, translated)
		}
	}
}

// A namespace that allows no connect without a packet says so.
func TestProbeWithoutFastOpen(t *testing.T) {
	netnstest.Privileged(t)
	pod, _ := netnstest.Pair(t, netnstest.Host(t))
	err := pod.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte("2"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.AddrPort{service4, service6} {
		if _, err := probe(t, pod, to); !errors.Is(err, socketlb.ErrCannotProbe) {
			t.Errorf("%s: %v", to, err)
		}
	}
}
