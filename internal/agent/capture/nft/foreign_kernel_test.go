package nft_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// inside runs a command inside n.
func inside(t testing.TB, n *netnstest.Net, command string) {
	t.Helper()
	args := append([]string{"--net=" + n.Path}, strings.Fields(command)...)
	if out, err := exec.CommandContext(t.Context(), "nsenter", args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// script has nft carry out a script inside n.
func script(t testing.TB, n *netnstest.Net, lines string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

const (
	proxyPort = 15001
	proxyMark = 1337 // stands for the user that a mesh's proxy runs as
)

// meshProxy forwards what is redirected to it, greeting with its own name first, and stays as long as its caller does.
func meshProxy(t testing.TB, n *netnstest.Net) {
	t.Helper()
	for _, at := range []string{"127.0.0.1", "::1"} {
		n.Handle(t, netip.AddrPortFrom(netip.MustParseAddr(at), proxyPort), func(c *net.TCPConn) {
			original, err := conntrack.OriginalDestination(c, c.LocalAddr().(*net.TCPAddr).AddrPort())
			if err != nil {
				t.Error(err)
				return
			}
			out, err := n.Dial(t.Context(), original, proxyMark)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			_ = out.SetDeadline(time.Now().Add(3 * time.Second))
			b := make([]byte, 64)
			k, _ := out.Read(b)
			_, _ = io.WriteString(c, "proxied, "+string(b[:k]))
			_, _ = io.Copy(io.Discard, c) // until the caller has enough
		})
	}
}

// meshRules are what the init containers of meshes install: everything goes to the proxy, but what it sends itself.
var meshRules = map[string]func(t *testing.T, n *netnstest.Net){
	"iptables-nft":    func(t *testing.T, n *netnstest.Net) { meshIPTables(t, n, "iptables-nft", "ip6tables-nft") },
	"iptables-legacy": func(t *testing.T, n *netnstest.Net) { meshIPTables(t, n, "iptables-legacy", "ip6tables-legacy") },
	"nft": func(t *testing.T, n *netnstest.Net) {
		script(t, n, `table inet mesh {
			chain out { tcp dport 1-65535 redirect to :15001; }
			chain output { type nat hook output priority -100; meta mark 1337 return; fib daddr type local return; jump out; }
		}`)
	},
}

func meshIPTables(t *testing.T, n *netnstest.Net, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, p, "-t", "nat", "-L").Run() != nil {
			if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
				t.Fatalf("%s does not work here, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped", p)
			}
			t.Skipf("SKIPPED: %s does not work here", p)
		}
		for _, rule := range []string{
			"-N MESH_OUTPUT", "-N MESH_REDIRECT",
			"-A MESH_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
			"-A MESH_OUTPUT -m mark --mark 1337 -j RETURN",
			"-A MESH_OUTPUT -o lo -j RETURN",
			"-A MESH_OUTPUT -j MESH_REDIRECT",
			"-A OUTPUT -p tcp -j MESH_OUTPUT",
		} {
			inside(t, n, p+" -t nat "+rule)
		}
	}
}

// TestRule36_AnotherProxyInThePod has a mesh's proxy take everything that leaves the pod, with its rules before ours and after: the pod's calls
// go through the proxy and then through the agent, and what the agent sends goes out.
func TestRule36_AnotherProxyInThePod(t *testing.T) {
	netnstest.Privileged(t)
	for name, redirect := range meshRules {
		for _, first := range []string{"the mesh", "the agent"} {
			t.Run(name+", first "+first, func(t *testing.T) {
				pod, out := netnstest.Pair(t, netnstest.Host(t))
				agent(t, pod)
				meshProxy(t, pod)
				world(t, out, 80)
				if first == "the mesh" {
					redirect(t, pod)
				}
				table := open(t, pod, options("mesh"))
				install(t, table, intent.Redirect{Ports: []uint16{80}})
				if first == "the agent" {
					redirect(t, pod)
				}
				for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
					expect(t, pod, to, "proxied, captured "+to)
					for range 3 {
						if got := marked(t, pod, to); got != "direct" {
							t.Errorf("the agent's own call to %s: %q, want it to go out", to, got)
						}
					}
				}
				found, err := table.Foreign()
				if err != nil || len(found) == 0 {
					t.Errorf("the mesh's redirect was not found: %v, %v", found, err)
				}
			})
		}
	}
}

// marked is what a connection with the agent's mark reads first.
func marked(t *testing.T, n *netnstest.Net, to string) string {
	t.Helper()
	c, err := n.Dial(t.Context(), netip.MustParseAddrPort(to), mark)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 64)
	k, err := c.Read(b)
	if err != nil {
		return err.Error()
	}
	return string(b[:k])
}

// TestWhatIsNoForeignRedirect: rules of others that take no call away are nothing to report.
func TestWhatIsNoForeignRedirect(t *testing.T) {
	netnstest.Privileged(t)
	for name, rules := range map[string]string{
		"nothing":     "",
		"a filter":    `table ip f { chain output { type filter hook output priority 0; tcp dport 25 drop; }; }`,
		"inbound":     `table ip n { chain pre { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }; }`,
		"masquerade":  `table ip n { chain post { type nat hook postrouting priority srcnat; masquerade; }; }`,
		"not reached": `table ip n { chain idle { tcp dport 80 redirect to :8080; }; chain output { type nat hook output priority -100; tcp dport 80 accept; }; }`,
		"DNS":         `table ip n { chain output { type nat hook output priority -100; udp dport 53 redirect to :15053; }; }`,
	} {
		t.Run(name, func(t *testing.T) {
			n := netnstest.New(t, netnstest.Host(t))
			script(t, n, rules)
			table := open(t, n, options("others"))
			install(t, table, intent.Redirect{All: true})
			if found, err := table.Foreign(); err != nil || len(found) > 0 {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
}

// TestForeignRedirectsByMaps: where a rule sends a connection may be written in a map.
func TestForeignRedirectsByMaps(t *testing.T) {
	netnstest.Privileged(t)
	for name, tc := range map[string]struct {
		rules string
		found int
	}{
		"verdict map": {`table ip m { chain proxy { tcp dport 1-65535 redirect to :15001; };
			chain output { type nat hook output priority -100; tcp dport vmap { 80 : jump proxy, 81 : accept }; }; }`, 1},
		"goto, by name": {`table ip m { chain proxy { tcp dport 1-65535 redirect to :15001; }; map ports { type inet_service : verdict; elements = { 80 : goto proxy }; };
			chain output { type nat hook output priority -100; tcp dport vmap @ports; }; }`, 1},
		"by intervals": {`table inet m { chain proxy { tcp dport 1-65535 redirect to :15001; };
			chain output { type nat hook output priority -100; tcp dport vmap { 1-79 : accept, 80-90 : jump proxy }; }; }`, 1},
		"by another map": {`table ip m { chain proxy { tcp dport 1-65535 redirect to :15001; }; chain more { ip daddr vmap { 10.0.0.1 : jump proxy }; };
			chain output { type nat hook output priority -100; tcp dport vmap { 80 : jump more }; }; }`, 1},
		"address from a map": {`table ip m { chain output { type nat hook output priority -100; dnat to tcp dport map { 80 : 10.9.9.9 }; }; }`, 1},
		"to nothing": {`table ip m { chain harmless { accept; };
			chain output { type nat hook output priority -100; tcp dport vmap { 80 : jump harmless, 81 : drop }; }; }`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := netnstest.New(t, netnstest.Host(t))
			script(t, n, tc.rules)
			table := open(t, n, options("maps"))
			install(t, table, intent.Redirect{All: true})
			if found, err := table.Foreign(); err != nil || len(found) != tc.found {
				t.Errorf("found %v, %v, want %d", found, err, tc.found)
			}
		})
	}
}

// TestSocketBoundToAnInterface calls from sockets whose packets must leave by one interface: they cannot reach the agent's listener,
// so they go direct, at TCP's second attempt; nothing else does.
func TestSocketBoundToAnInterface(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	install(t, open(t, pod, options("bound")), intent.Redirect{All: true, FailClosed: true})
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		d := net.Dialer{Timeout: 20 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			if cerr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "eth0") }); cerr != nil {
				return cerr
			}
			return err
		}}
		c, got, err := callWith(pod, d, to)
		if err != nil || got != "direct" {
			t.Errorf("call to %s from a bound socket: %q, %v, want direct", to, got, err)
			continue
		}
		if err := talk(c, "and on"); err != nil {
			t.Errorf("call to %s from a bound socket: %v", to, err)
		}
		_ = c.Close()
		expect(t, pod, to, "captured "+to)
	}
}

// TestMoreSocketsBoundToAnInterfaceThanAreRemembered has the kernel remember as many connections as it may when another one begins: it goes
// direct as soon as the set has space.
func TestMoreSocketsBoundToAnInterfaceThanAreRemembered(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	install(t, open(t, pod, options("bound")), intent.Redirect{All: true})
	var others []string
	for i := range 4096 {
		others = append(others, fmt.Sprintf("192.0.2.1 . %d . 192.0.2.2 . 80", 20000+i))
	}
	script(t, pod, "add element inet fairlead bound4 { "+strings.Join(others, ", ")+" }")
	fd := -1
	err := pod.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c := os.NewFile(uintptr(fd), "bound")
	defer func() { _ = c.Close() }()
	if err := unix.BindToDevice(fd, "eth0"); err != nil {
		t.Fatal(err)
	}
	// The first request has passed the rules when this returns; TCP asks again after a second.
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 99, 0, 1}}); !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	script(t, pod, "flush set inet fairlead bound4")
	got := make([]byte, len("direct"))
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000); n != 1 {
		t.Fatalf("call from a bound socket: no answer, %v", err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "direct" {
		t.Errorf("call from a bound socket: %q, %v, want direct", got, err)
	}
}

// TestForeignRedirectsAreFoundWithoutRawSockets looks for rules of the old kind as the agent's manifest has it: entering namespaces and changing
// their rules is all that it may.
func TestForeignRedirectsAreFoundWithoutRawSockets(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	meshIPTables(t, n, "iptables-legacy", "ip6tables-legacy")
	table := open(t, n, options("legacy"))
	install(t, table, intent.Redirect{All: true})
	var found []string
	err := limited(t, func() (err error) { found, err = table.Foreign(); return err }, unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN)
	if want := []string{"ip6tables-legacy nat", "iptables-legacy nat"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v, %v, want %v", found, err, want)
	}
}

// limited calls f on a thread that has no other capabilities, and that is thrown away afterwards.
func limited(t *testing.T, f func() error, capabilities ...uint) error {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		var data [2]unix.CapUserData
		for _, c := range capabilities {
			data[c/32].Effective |= 1 << (c % 32)
			data[c/32].Permitted |= 1 << (c % 32)
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&header, &data[0]); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}
