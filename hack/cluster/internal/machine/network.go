package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridgeName is the switch that connects the machines, in the supervisor's namespace.
const bridgeName = "br0"

// setUpSwitch makes the bridge and puts the link to the host on it.
func setUpSwitch(uplink string) error {
	if err := linkUp("lo"); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = bridgeName
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge: %w", err)
	}
	if err := linkUp(bridgeName); err != nil {
		return err
	}
	return plug(uplink)
}

// connect makes a cable from the bridge to eth0 in the network namespace of process pid.
func connect(m *Machine, pid int) error {
	cable := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
	cable.Name = m.Name
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make link to %s: %w", m.Name, err)
	}
	return plug(m.Name)
}

// plug puts a link on the bridge.
func plug(name string) error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetMaster(link, bridge); err != nil {
		return fmt.Errorf("put %s on the bridge: %w", name, err)
	}
	return linkUp(name)
}

// setUpNetwork configures a machine's eth0 and routes and makes it forward packets.
func setUpNetwork(m *Machine) error {
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := setSysctl(key, "1"); err != nil {
			return err
		}
	}
	if err := linkUp("lo"); err != nil {
		return err
	}
	if err := AddAddresses("eth0", m.Addresses); err != nil {
		return err
	}
	return AddRoutes("eth0", m.Routes)
}

// AddAddresses gives the link its addresses and brings it up. Duplicate address detection is left
// out: the addresses are ours by construction, and it would delay the start by a second.
func AddAddresses(name string, addresses []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}
	return linkUp(name)
}

// AddRoutes adds routes over the link.
func AddRoutes(name string, routes []Route) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, r := range routes {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.Destination), Gw: r.Via.AsSlice()}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("add route to %s via %s: %w", r.Destination, r.Via, err)
		}
	}
	return nil
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// setSysctl writes a kernel setting of the current network namespace; one that this kernel lacks
// (no IPv6, say) needs no setting.
func setSysctl(key, value string) error {
	err := os.WriteFile("/proc/sys/"+strings.TrimPrefix(key, "/"), []byte(value), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}
