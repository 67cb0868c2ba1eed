package machine

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostLink is the host's end of the cable to a cluster.
type HostLink struct {
	Name      string
	Addresses []netip.Prefix
	Routes    []Route
}

// Create makes the cable with both ends on the host. As long as it exists, its address range is taken.
func (l HostLink) Create() error {
	cable := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: l.Peer()}
	cable.Name = l.Name
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make link %s: %w", l.Name, err)
	}
	return AddAddresses(l.Name, l.Addresses)
}

// Connect hands the other end to the supervisor's namespace and adds the routes over this one.
func (l HostLink) Connect(pid int) error {
	peer, err := netlink.LinkByName(l.Peer())
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Peer(), err)
	}
	if err := netlink.LinkSetNsPid(peer, pid); err != nil {
		return fmt.Errorf("move link %s: %w", l.Peer(), err)
	}
	return AddRoutes(l.Name, l.Routes)
}

// Peer is the name of the other end, also after it has moved.
func (l HostLink) Peer() string { return l.Name + "p" }

// Delete removes the cable; one that is gone already is fine. Its addresses and routes go with it.
func (l HostLink) Delete() error {
	link, err := netlink.LinkByName(l.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", l.Name, err)
	}
	return nil
}

// RangeTaken reports whether the host already has an address or a route inside the range.
func RangeTaken(r netip.Prefix) (bool, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return false, fmt.Errorf("list routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		addr, _ := netip.AddrFromSlice(route.Dst.IP)
		bits, _ := route.Dst.Mask.Size()
		if p := netip.PrefixFrom(addr.Unmap(), bits); bits > 0 && p.IsValid() && p.Overlaps(r) {
			return true, nil
		}
	}
	return false, nil
}
