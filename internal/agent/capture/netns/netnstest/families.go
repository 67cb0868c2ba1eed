package netnstest

import (
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DropIPv4 takes the IPv4 addresses of links away, with their routes, as in the pods of a network that has IPv6 alone.
func DropIPv4(t testing.TB, n *Net, links ...string) {
	t.Helper()
	h := n.handle(t)
	defer h.Close()
	for _, name := range links {
		link, err := h.LinkByName(name)
		check(t, err)
		addrs, err := h.AddrList(link, netlink.FAMILY_V4)
		check(t, err)
		for i := range addrs {
			check(t, h.AddrDel(link, &addrs[i]))
		}
	}
}

// DisableIPv6 turns IPv6 off, as the sysctl net.ipv6.conf.all.disable_ipv6 of a pod does: no link has an address of it, the loopback neither.
func DisableIPv6(t testing.TB, n *Net) {
	t.Helper()
	setDisableIPv6(t, n, "1")
}

// EnableIPv6 turns IPv6 on again, in the pod of a Pair.
func EnableIPv6(t testing.TB, pod *Net) {
	t.Helper()
	setDisableIPv6(t, pod, "0")
	h := pod.handle(t)
	defer h.Close()
	link, err := h.LinkByName("eth0")
	check(t, err)
	check(t, h.AddrAdd(link, &netlink.Addr{IPNet: prefix(t, Pod6.String()+"/64"), Flags: unix.IFA_F_NODAD}))
	check(t, h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: prefix(t, "::/0"), Gw: World6.AsSlice()}))
}

func setDisableIPv6(t testing.TB, n *Net, value string) {
	t.Helper()
	// What is below /proc/sys/net is that of the thread's namespace.
	check(t, n.Do(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte(value), 0) }))
}
