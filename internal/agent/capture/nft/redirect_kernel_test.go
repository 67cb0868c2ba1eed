package nft_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// agent listens as an agent would and greets with the original destination, then echoes.
func agent(t testing.TB, n *netnstest.Net) {
	t.Helper()
	for _, at := range listening {
		n.Handle(t, netip.MustParseAddrPort(at), greet)
	}
}

// listening are the addresses of an agent's listeners.
var listening = []string{"127.0.0.1:14001", "[::1]:14001"}

func greet(c *net.TCPConn) {
	if _, err := io.WriteString(c, capturedAs(c)); err == nil {
		_, _ = io.Copy(c, c)
	}
}

func capturedAs(c *net.TCPConn) string {
	original, err := conntrack.OriginalDestination(c, c.LocalAddr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return "captured with error " + err.Error()
	}
	return "captured " + original.String()
}

func install(t testing.TB, table *table, r intent.Redirect) {
	t.Helper()
	if err := table.Install(r); err != nil {
		t.Fatal(err)
	}
	if err := table.Renew(); err != nil {
		t.Fatal(err)
	}
}

// world serves on every service address, on a port per family, greeting "direct".
func world(t testing.TB, n *netnstest.Net, port uint16) {
	t.Helper()
	n.Serve(t, netip.AddrPortFrom(netip.IPv4Unspecified(), port), "direct")
	n.Serve(t, netip.AddrPortFrom(netip.IPv6Unspecified(), port), "direct")
}

func TestRedirectsWhatItSays(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, out := netnstest.Pair(t, host)
	agent(t, pod)
	world(t, out, 80)
	world(t, out, 81)
	pod.Serve(t, netip.AddrPortFrom(netnstest.Pod4, 80), "own")
	pod.Serve(t, netip.MustParseAddrPort("127.0.0.1:80"), "own")
	pod.Serve(t, netip.MustParseAddrPort("[::1]:80"), "own")

	for name, tc := range map[string]struct {
		redirect         intent.Redirect
		captured, direct []string
	}{
		"addresses": {
			redirect: intent.Redirect{Addrs: addrs("10.99.0.1:80", "[fd99::1]:80")},
			captured: []string{"10.99.0.1:80", "[fd99::1]:80"},
			direct:   []string{"10.99.0.1:81", "10.99.0.2:80", "[fd99::1]:81", "[fd99::2]:80"},
		},
		"ports": {
			redirect: intent.Redirect{Ports: []uint16{80}},
			captured: []string{"10.99.0.1:80", "[fd99::1]:80"},
			direct:   []string{"10.99.0.1:81", "[fd99::1]:81"},
		},
		"blocks with exceptions": {
			redirect: intent.Redirect{Blocks: []intent.Block{
				{Prefix: netip.MustParsePrefix("10.99.0.0/24"), Except: prefixes("10.99.0.7/32", "10.99.0.64/27")},
				{Prefix: netip.MustParsePrefix("fd99::/112"), Except: prefixes("fd99::8/125"), Ports: []uint16{80, 9999}},
				{Prefix: netip.MustParsePrefix("10.99.3.3/32"), Ports: []uint16{81}},
			}},
			captured: []string{"10.99.0.1:80", "10.99.0.1:81", "10.99.0.63:80", "10.99.0.96:80", "[fd99::1]:80", "10.99.3.3:81"},
			direct:   []string{"10.99.0.7:80", "10.99.0.70:80", "10.99.1.1:80", "[fd99::9]:80", "[fd99::1]:81", "10.99.3.3:80"},
		},
		"everything": {
			redirect: intent.Redirect{All: true},
			captured: []string{"10.99.0.1:80", "10.99.0.1:81", "[fd99::1]:80", "10.98.0.1:80"},
		},
		"nothing": {direct: []string{"10.99.0.1:80", "[fd99::1]:80"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := open(t, pod, options("what"))
			install(t, table, tc.redirect)
			for _, to := range tc.captured {
				expect(t, pod, to, "captured "+to)
			}
			for _, to := range tc.direct {
				expect(t, pod, to, "direct")
			}
			for _, to := range []string{"127.0.0.1:80", "[::1]:80", netip.AddrPortFrom(netnstest.Pod4, 80).String()} {
				expect(t, pod, to, "own")
			}
			if err := table.Remove(); err != nil {
				t.Fatal(err)
			}
			if left := pod.Ruleset(t); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
			for _, to := range tc.captured {
				expect(t, pod, to, "direct")
			}
		})
	}
}

func expect(t *testing.T, n *netnstest.Net, to, want string) {
	t.Helper()
	got, err := n.Call(t, netip.MustParseAddrPort(to))
	if err != nil || got != want {
		t.Errorf("call to %s: got %q, %v, want %q", to, got, err, want)
	}
}

func TestMarkedConnectionsGoDirect(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	install(t, open(t, pod, options("mark")), intent.Redirect{All: true})
	for _, to := range addrs("10.99.0.1:80", "[fd99::1]:80") {
		c, err := pod.Dial(t.Context(), to, mark)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 6)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "direct" {
			t.Errorf("marked call to %s: %q, %v", to, b, err)
		}
		_ = c.Close()
	}
}

func TestRule36_DirectConnectionHasListenerAsOriginal(t *testing.T) {
	netnstest.Privileged(t)
	pod := netnstest.New(t, netnstest.Host(t))
	agent(t, pod)
	expect(t, pod, "127.0.0.1:14001", "captured 127.0.0.1:14001") // nothing tracked yet
	install(t, open(t, pod, options("loop")), intent.Redirect{All: true})
	for _, to := range []string{"127.0.0.1:14001", "[::1]:14001"} {
		expect(t, pod, to, "captured "+to)
	}
}

// talk sends a message over an open connection and wants it back.
func talk(c net.Conn, message string) error {
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	b := make([]byte, len(message))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != message {
		return fmt.Errorf("got %q back", b)
	}
	return nil
}

func connectTo(t *testing.T, n *netnstest.Net, to, greeting string) *net.TCPConn {
	t.Helper()
	c, err := n.Dial(t.Context(), netip.MustParseAddrPort(to), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, len(greeting))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != greeting {
		t.Fatalf("call to %s: %q, %v, want %q", to, b, err, greeting)
	}
	return c
}

func TestRule34_OpenConnectionsOutliveEveryChange(t *testing.T) {
	netnstest.Privileged(t)
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		pod, out := netnstest.Pair(t, netnstest.Host(t))
		agent(t, pod)
		world(t, out, 80)
		before := connectTo(t, pod, to, "direct")
		table := open(t, pod, options("outlive"))
		install(t, table, intent.Redirect{All: true})
		during := connectTo(t, pod, to, "captured "+to)
		check := func(when string) {
			t.Helper()
			for who, c := range map[string]net.Conn{"from before": before, "captured": during} {
				if err := talk(c, when); err != nil {
					t.Errorf("connection %s to %s, %s: %v", who, to, when, err)
				}
			}
		}
		check("while capturing")
		install(t, table, intent.Redirect{Ports: []uint16{9}})
		check("after another redirect")
		if err := table.StopRedirect(); err != nil {
			t.Fatal(err)
		}
		check("after the end of redirecting")
		expect(t, pod, to, "direct")
		if n, err := table.Busy(); err != nil || n != 1 {
			t.Errorf("busy: %d, %v, want 1", n, err)
		}
		_ = during.Close()
		netnstest.Eventually(t, 3*time.Second, "the listener's last socket is done", func() bool {
			n, err := table.Busy()
			return err == nil && n == 0
		})
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
		if err := talk(before, "after removal"); err != nil {
			t.Errorf("connection from before, after removal: %v", err)
		}
	}
}

func TestRule39_LeaseRunsOutAndNewConnectionsGoDirect(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	world(t, out, 80)
	start := time.Now()
	install(t, open(t, pod, options("dead")), intent.Redirect{Ports: []uint16{80}})
	// Nobody listens, as when the agent was killed: refused until the lease is over, never hanging.
	_, err := pod.Call(t, netip.MustParseAddrPort("10.99.0.1:80"))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("with the lease alive: %v, want refused", err)
	}
	for _, to := range addrs("10.99.0.1:80", "[fd99::1]:80") {
		netnstest.Eventually(t, 4*time.Second, "calls go direct", func() bool {
			got, err := pod.Call(t, to)
			if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatal(err)
			}
			return got == "direct"
		})
	}
	if took := time.Since(start); took < 2900*time.Millisecond {
		t.Errorf("the lease of 3 s was over after %s", took)
	}
}

func TestRule39_ClosedKeepsRefusing(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	world(t, out, 80)
	o := options("closed")
	o.Lease = 100 * time.Millisecond
	table := open(t, pod, o)
	install(t, table, intent.Redirect{Ports: []uint16{80}, FailClosed: true})
	netnstest.Eventually(t, time.Second, "the lease is over", func() bool {
		leased, err := table.Leased()
		return err == nil && !leased
	})
	for _, to := range addrs("10.99.0.1:80", "[fd99::1]:80") {
		if _, err := pod.Call(t, to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("call to %s without agent: %v, want refused", to, err)
		}
	}
}

func TestRenewalsBridgeTheLease(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	o := options("renew")
	o.Lease = 400 * time.Millisecond
	table := open(t, pod, o)
	install(t, table, intent.Redirect{Ports: []uint16{80}})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 20 { // five leases
		<-tick.C
		if err := table.Renew(); err != nil {
			t.Fatal(err)
		}
		expect(t, pod, "10.99.0.1:80", "captured 10.99.0.1:80")
	}
	if err := table.Yield(); err != nil {
		t.Fatal(err)
	}
	expect(t, pod, "10.99.0.1:80", "direct")
	if err := table.Renew(); err != nil {
		t.Fatal(err)
	}
	expect(t, pod, "[fd99::1]:80", "captured [fd99::1]:80")
}

// TestChangesAreAtomic calls a captured and a direct destination all the time while unrelated parts of the redirect change.
func TestChangesAreAtomic(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	table := open(t, pod, options("atomic"))
	install(t, table, intent.Redirect{Addrs: addrs("10.99.0.1:80", "[fd99::1]:80")})

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var calls atomic.Int64
	for to, want := range map[string]string{"10.99.0.1:80": "captured", "[fd99::1]:80": "captured", "10.99.0.9:80": "direct"} {
		wg.Go(func() {
			for ctx.Err() == nil {
				got, err := pod.Call(t, netip.MustParseAddrPort(to))
				if err != nil || !strings.HasPrefix(got, want) {
					t.Errorf("call to %s: %q, %v, want %s", to, got, err, want)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range 150 {
		r := intent.Redirect{Addrs: addrs("10.99.0.1:80", "[fd99::1]:80", fmt.Sprintf("10.99.1.%d:80", i))}
		if i%3 == 0 {
			r.Ports = []uint16{uint16(1000 + i)}
		}
		if i%5 == 0 {
			r.Blocks = []intent.Block{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Ports: []uint16{1, 2}}}
		}
		if i%50 == 49 {
			if err := table.TakeOver(r); err != nil {
				t.Fatal(err)
			}
		}
		install(t, table, r)
	}
	cancel()
	wg.Wait()
	if calls.Load() < 300 {
		t.Errorf("only %d calls were made meanwhile", calls.Load())
	}
}
