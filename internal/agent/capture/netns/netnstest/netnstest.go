// Package netnstest makes network namespaces for tests: a pod and the world it calls, joined by a pair of virtual links, with
// addresses of both families. Everything is gone when the test ends. It is never linked into a binary.
package netnstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Addresses of a Pair. The world also has every address of Service4 and Service6, as if they were services'.
var (
	Pod4     = netip.MustParseAddr("10.98.0.2")
	Pod6     = netip.MustParseAddr("fd98::2")
	World4   = netip.MustParseAddr("10.98.0.1")
	World6   = netip.MustParseAddr("fd98::1")
	Service4 = netip.MustParsePrefix("10.99.0.0/16")
	Service6 = netip.MustParsePrefix("fd99::/64")
)

// Privileged skips the test, loudly, unless it may make namespaces. With REQUIRE_PRIVILEGED=1 it fails instead.
func Privileged(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatal("needs root to make network namespaces, and REQUIRE_PRIVILEGED=1")
	}
	t.Skip("SKIPPED: needs root to make network namespaces")
}

// Net is a namespace made by a test.
type Net struct {
	Path string
	*netns.Namespace
}

// Host opens the test process's own namespace.
func Host(t testing.TB) *netns.Host {
	t.Helper()
	h, err := netns.OpenHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// New makes a namespace with its loopback up.
func New(t testing.TB, host *netns.Host) *Net {
	t.Helper()
	Privileged(t)
	n := &Net{Path: filepath.Join(t.TempDir(), "net")}
	Mount(t, n.Path)
	opened, err := host.Open(n.Path)
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace = opened
	t.Cleanup(func() { _ = opened.Close() })
	h := n.handle(t)
	defer h.Close()
	lo, err := h.LinkByName("lo")
	check(t, err)
	check(t, h.LinkSetUp(lo))
	return n
}

// Mount makes a namespace and mounts it at path, as container runtimes do. It is unmounted when the test ends.
func Mount(t testing.TB, path string) {
	t.Helper()
	Privileged(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	check(t, <-done)
	t.Cleanup(func() { Unmount(path) })
}

// Unmount takes away what Mount mounted; doing it twice is harmless.
func Unmount(path string) {
	_ = unix.Unmount(path, unix.MNT_DETACH)
	_ = os.Remove(path)
}

// Pair makes a pod and the world it calls.
func Pair(t testing.TB, host *netns.Host) (pod, world *Net) {
	t.Helper()
	pod, world = New(t, host), New(t, host)
	ph, wh := pod.handle(t), world.handle(t)
	defer ph.Close()
	defer wh.Close()
	file, err := os.Open(world.Path)
	check(t, err)
	defer func() { _ = file.Close() }()
	check(t, ph.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(file.Fd())}))
	join(t, ph, Pod4, Pod6)
	join(t, wh, World4, World6)
	link, err := ph.LinkByName("eth0")
	check(t, err)
	for gateway, to := range map[netip.Addr]string{World4: "0.0.0.0/0", World6: "::/0"} {
		check(t, ph.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: prefix(t, to), Gw: gateway.AsSlice()}))
	}
	lo, err := wh.LinkByName("lo")
	check(t, err)
	for _, service := range []netip.Prefix{Service4, Service6} {
		check(t, wh.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: prefix(t, service.String()), Type: unix.RTN_LOCAL,
			Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}))
	}
	return pod, world
}

func join(t testing.TB, h *netlink.Handle, addrs ...netip.Addr) {
	t.Helper()
	link, err := h.LinkByName("eth0")
	check(t, err)
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		check(t, h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())},
			Flags: unix.IFA_F_NODAD}))
	}
	check(t, h.LinkSetUp(link))
}

func (n *Net) handle(t testing.TB) *netlink.Handle {
	t.Helper()
	file, err := os.Open(n.Path)
	check(t, err)
	defer func() { _ = file.Close() }()
	h, err := netlink.NewHandleAt(vnetns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	check(t, err)
	return h
}

// Vanish has the namespace answer nobody any more, as a host does that has lost its power.
func (n *Net) Vanish(t testing.TB) {
	t.Helper()
	h := n.handle(t)
	defer h.Close()
	link, err := h.LinkByName("eth0")
	check(t, err)
	check(t, h.LinkSetDown(link))
}

// Dial is Namespace.Dial for tests that want what package net offers besides.
func (n *Net) Dial(ctx context.Context, to netip.AddrPort, mark uint32) (*net.TCPConn, error) {
	file, err := n.Namespace.Dial(ctx, to, mark)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// Serve answers every connection to address with greeting and closes it when the peer does. It returns the address with the port
// it got.
func (n *Net) Serve(t testing.TB, at netip.AddrPort, greeting string) netip.AddrPort {
	t.Helper()
	return n.Handle(t, at, func(c *net.TCPConn) {
		if _, err := c.Write([]byte(greeting)); err == nil {
			_, _ = c.WriteTo(c) // echo
		}
	})
}

// Handle calls handle for every connection to address, each on a goroutine of its own, and closes the connection afterwards. It returns the
// address with the port it got. The test ends when all handlers have.
func (n *Net) Handle(t testing.TB, at netip.AddrPort, handle func(c *net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := n.Listen(at)
	check(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				handle(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// Call connects as an application in the namespace would, and returns what it reads first.
func (n *Net) Call(t testing.TB, to netip.AddrPort) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := n.Dial(ctx, to, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 64)
	k, err := c.Read(b)
	return string(b[:k]), err
}

// Ruleset is what `nft list ruleset` says inside the namespace.
func (n *Net) Ruleset(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	return string(out)
}

// HostRuleset is what `nft list ruleset` says in the test process's own namespace.
func HostRuleset(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	return string(out)
}

// patience is how long a test waits at least for what should be there in a moment: other work may hold the machine up.
const patience = 30 * time.Second

// Eventually polls until condition holds, and fails the test after limit, or after patience if that is longer.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	limit = max(limit, patience)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func prefix(t testing.TB, s string) *net.IPNet {
	t.Helper()
	_, p, err := net.ParseCIDR(s)
	check(t, err)
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// RouteAllToLoopback makes every IPv4 address routable, by way of the loopback, where nothing answers: enough for connections
// that are redirected.
func RouteAllToLoopback(t testing.TB, n *Net) {
	t.Helper()
	h := n.handle(t)
	defer h.Close()
	lo, err := h.LinkByName("lo")
	check(t, err)
	check(t, h.LinkSetUp(lo))
	check(t, h.AddrAdd(lo, &netlink.Addr{IPNet: prefix(t, "198.51.100.1/32")}))
	check(t, h.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: prefix(t, "0.0.0.0/0"), Src: net.IPv4(198, 51, 100, 1)}))
}
