//go:build linux

package isolate

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// The namespace's own addresses, of blocks that nothing else is called by (RFC 2544, RFC 5180).
var own = [...]netip.Prefix{netip.MustParsePrefix("198.19.254.1/32"), netip.MustParsePrefix("2001:2::1/128")}

// somewhere6 is asked for no more than whether there is a way to it.
const somewhere6 = "[2001:4860:4860::8888]:53"

// giveWayOut has every address be reached by way of the loopback: connections are redirected before they leave, and what is not redirected arrives
// nowhere. IPv6 is there where this machine has a way out by it: a connection that is captured is established, so the command would not find out.
func giveWayOut(ns *netns.Namespace) error {
	var h *netlink.Handle
	err := ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := h.LinkSetUp(lo); err != nil {
		return err
	}
	for _, p := range own {
		if p.Addr().Is6() && !hasIPv6() {
			continue
		}
		bits := p.Addr().BitLen()
		a := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(bits, bits)}
		if err := h.AddrAdd(lo, &netlink.Addr{IPNet: a, Flags: unix.IFA_F_NODAD, Scope: unix.RT_SCOPE_UNIVERSE}); err != nil {
			return err
		}
		everywhere := &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: everywhere, Src: a.IP, Scope: netlink.SCOPE_LINK}); err != nil {
			return err
		}
	}
	return nil
}

// hasIPv6 reports whether this machine has a way out by IPv6. Nothing is sent.
func hasIPv6() bool {
	c, err := net.Dial("udp6", somewhere6)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// dnsPort is where the DNS is asked.
const dnsPort = 53

// beforeCapture is in front of what captures connections, since the first redirect counts.
const beforeCapture = -150

// redirectNames has questions to the DNS, wherever they go, be asked at a port of the namespace.
func redirectNames(fd int, port uint16) error {
	c, err := nftables.New(nftables.WithNetNSFd(fd))
	if err != nil {
		return err
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := c.AddTable(&nftables.Table{Family: family, Name: "fairlead-run"})
		chain := c.AddChain(&nftables.Chain{
			Name: "names", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRef(beforeCapture),
		})
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(dnsPort)},
				&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
				&expr.Redir{RegisterProtoMin: 1},
			}})
		}
	}
	return c.Flush()
}
