package differential

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// Addresses of a world. The node stands between the pod and the servers, as a cluster's node does, and translates the addresses of
// Services there: behind the place where connections are captured, and in front of the servers.
var (
	podAddrs     = addresses{netip.MustParseAddr("10.98.0.2"), netip.MustParseAddr("fd98::2")}
	podGateways  = addresses{netip.MustParseAddr("10.98.0.1"), netip.MustParseAddr("fd98::1")}
	serviceAddrs = addresses{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd96::10")}
	// translatedAddrs are those of the Service as kind translated has it: they become server 0's when a socket connects to them.
	translatedAddrs = addresses{netip.MustParseAddr("10.92.0.10"), netip.MustParseAddr("fd92::10")}
	// blackhole is routed to the node, which drops what goes there; unreachable is refused by the node's routes.
	blackhole   = netip.MustParseAddr("10.95.0.1")
	unreachable = netip.MustParseAddr("10.94.0.1")
)

// Ports: what Services are called by, and what servers listen on.
const (
	servicePort = 80
	serverPort  = 8080
)

// addresses are one of each family.
type addresses struct{ v4, v6 netip.Addr }

// serverAddrs are those of server i.
func serverAddrs(i int) addresses {
	return addresses{netip.MustParseAddr(fmt.Sprintf("10.97.%d.2", i)), netip.MustParseAddr(fmt.Sprintf("fd97:%d::2", i))}
}

func serverGateways(i int) addresses {
	return addresses{netip.MustParseAddr(fmt.Sprintf("10.97.%d.1", i)), netip.MustParseAddr(fmt.Sprintf("fd97:%d::1", i))}
}

const serverCount = 2

// world is a pod, a node and servers, each in a network namespace of its own. Runs use it one after another.
type world struct {
	host    *netns.Host
	pod     *netnstest.Net
	node    *netnstest.Net
	servers [serverCount]*netnstest.Net
	hosts   string // what programs find as /etc/hosts
	scratch string // a folder for the files of servers
}

func newWorld(t *testing.T, host *netns.Host) *world {
	t.Helper()
	w := &world{host: host, pod: netnstest.New(t, host), node: netnstest.New(t, host), scratch: t.TempDir()}
	w.hosts = filepath.Join(w.scratch, "hosts")
	join(t, w.node, "pod", podGateways, w.pod, podAddrs)
	for i := range w.servers {
		w.servers[i] = netnstest.New(t, host)
		join(t, w.node, fmt.Sprintf("server%d", i), serverGateways(i), w.servers[i], serverAddrs(i))
	}
	for path, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward": "1", "/proc/sys/net/ipv6/conf/all/forwarding": "1",
		"/proc/sys/net/ipv4/icmp_ratelimit": "0", // every attempt to connect hears that an address is unreachable
	} {
		check(t, w.node.Do(func() error { return os.WriteFile(path, []byte(value), 0o600) }))
	}
	w.shell(t, w.node, "ip route add unreachable "+unreachable.String()+"\nip route add default dev server0\nip -6 route add default dev server0")
	w.sayAgain(t)
	w.restore(t)
	return w
}

// join links two namespaces. The inner one's default routes lead to the outer one.
func join(t *testing.T, outer *netnstest.Net, name string, outside addresses, inner *netnstest.Net, inside addresses) {
	t.Helper()
	file, err := os.Open(inner.Path)
	check(t, err)
	defer func() { _ = file.Close() }()
	oh, ih := handle(t, outer), handle(t, inner)
	defer oh.Close()
	defer ih.Close()
	check(t, oh.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(file.Fd())}))
	setUp(t, oh, name, outside)
	link := setUp(t, ih, "eth0", inside)
	for gateway, to := range map[netip.Addr]string{outside.v4: "0.0.0.0/0", outside.v6: "::/0"} {
		_, all, err := net.ParseCIDR(to)
		check(t, err)
		check(t, ih.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Gw: gateway.AsSlice()}))
	}
}

func setUp(t *testing.T, h *netlink.Handle, name string, at addresses) netlink.Link {
	t.Helper()
	link, err := h.LinkByName(name)
	check(t, err)
	for _, a := range []netip.Addr{at.v4, at.v6} {
		mask := net.CIDRMask(24, 32)
		if a.Is6() {
			mask = net.CIDRMask(64, 128)
		}
		check(t, h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: mask}, Flags: unix.IFA_F_NODAD}))
	}
	check(t, h.LinkSetUp(link))
	return link
}

func handle(t *testing.T, n *netnstest.Net) *netlink.Handle {
	t.Helper()
	file, err := os.Open(n.Path)
	check(t, err)
	defer func() { _ = file.Close() }()
	h, err := netlink.NewHandleAt(vnetns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	check(t, err)
	return h
}

// restore undoes what scenarios do to a world.
func (w *world) restore(t testing.TB) {
	t.Helper()
	w.nft(t, w.node, "flush ruleset\n"+nodeRules)
	w.nft(t, w.pod, "flush ruleset")
	w.setHosts(t, "")
}

// nodeRules leave room for the rules of scenarios: translate is what kube-proxy does, cut is what fails.
var nodeRules = `
table inet kube {
	chain translate { type nat hook prerouting priority dstnat; }
	chain refuse { type filter hook forward priority filter; }
}
table inet cut {
	chain forward { type filter hook forward priority -10; ip daddr ` + blackhole.String() + ` drop; }
}
`

// nft runs a script of nft in a namespace.
func (w *world) nft(t testing.TB, n *netnstest.Net, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s\n%s", err, out, script)
	}
}

// shell runs a shell script in a namespace.
func (w *world) shell(t testing.TB, n *netnstest.Net, script string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// setHosts replaces what programs in the pod find in /etc/hosts.
func (w *world) setHosts(t testing.TB, lines string) {
	t.Helper()
	// Written in place: programs that run have this very file mounted.
	check(t, os.WriteFile(w.hosts, []byte("127.0.0.1 localhost\n::1 localhost\n"+lines), 0o644))
}

// Choices among two endpoints.
const (
	// inTurn: one after the other.
	inTurn = "numgen inc mod 2"
	// bySource: always the same for a caller (sessionAffinity: ClientIP).
	bySource = "jhash ip saddr mod 2"
	// onlyFirst: as if the other were on another node (internalTrafficPolicy: Local).
	onlyFirst = "numgen inc mod 1"
	// dropped: none, because all are on other nodes (internalTrafficPolicy: Local).
	dropped = "drop"
)

// translate has the node do what kube-proxy does for a Service: pick an endpoint by the choice for each new connection, or refuse if
// there is none.
func (w *world) translate(t testing.TB, to netip.AddrPort, endpoints []netip.AddrPort, choice string) {
	t.Helper()
	family := "ip"
	if to.Addr().Is6() {
		family = "ip6"
	}
	match := fmt.Sprintf("%s daddr %s tcp dport %d", family, to.Addr(), to.Port())
	switch {
	case len(endpoints) == 0:
		w.nft(t, w.node, fmt.Sprintf("add rule inet kube refuse ct state new %s reject", match))
	case choice == dropped:
		w.nft(t, w.node, fmt.Sprintf("add rule inet kube refuse ct state new %s drop", match))
	case len(endpoints) == 1:
		w.nft(t, w.node, fmt.Sprintf("add rule inet kube translate %s dnat %s to %s", match, family, endpoints[0]))
	default: // they share their port
		places := make([]string, len(endpoints))
		for i, e := range endpoints {
			places[i] = fmt.Sprintf("%d : %s", i, e.Addr())
		}
		w.nft(t, w.node, fmt.Sprintf("add rule inet kube translate %s dnat %s to %s map { %s }:%d", match, family, choice,
			strings.Join(places, ", "), endpoints[0].Port()))
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
