package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

// chunk bounds the elements of one netlink message, whose attributes hold 64 KiB at most.
const chunk = 512

// The ids by which the messages of one transaction refer to sets. The library would draw them from a variable that all its
// connections share without a lock.
const (
	leaseID = iota + 1
	addrs4ID
	addrs6ID
	portsID
	ownerID
	bound4ID
	bound6ID
	unserved4ID
	unserved6ID
	firstAnonymous
)

// sets are the named sets of the table.
type sets struct {
	lease, addrs4, addrs6, ports *nftables.Set
	unserved4, unserved6         *nftables.Set
	bound4, bound6               *nftables.Set // filled by the kernel, see writeBoundRules
}

func (t *Table) sets() sets {
	table := t.table
	return sets{
		lease:     &nftables.Set{Table: table, ID: leaseID, Name: leaseSet, KeyType: nftables.TypeNFProto, HasTimeout: true, Timeout: t.settings.Lease},
		addrs4:    addressSet(table, addrs4ID, "addrs4", nftables.TypeIPAddr),
		addrs6:    addressSet(table, addrs6ID, "addrs6", nftables.TypeIP6Addr),
		ports:     portSet(table, portsID, "ports"),
		unserved4: addressSet(table, unserved4ID, "unserved4", nftables.TypeIPAddr),
		unserved6: addressSet(table, unserved6ID, "unserved6", nftables.TypeIP6Addr),
		bound4:    endsSet(table, bound4ID, "bound4", nftables.TypeIPAddr),
		bound6:    endsSet(table, bound6ID, "bound6", nftables.TypeIP6Addr),
	}
}

func portSet(table *nftables.Table, id uint32, name string) *nftables.Set {
	return &nftables.Set{Table: table, ID: id, Name: name, KeyType: nftables.TypeInetService, KeyByteOrder: binaryutil.BigEndian}
}

// addressSet is a set of addresses, each with a port.
func addressSet(table *nftables.Table, id uint32, name string, address nftables.SetDatatype) *nftables.Set {
	return &nftables.Set{Table: table, ID: id, Name: name, Concatenation: true, KeyByteOrder: binaryutil.BigEndian,
		KeyType: nftables.MustConcatSetType(address, nftables.TypeInetService)}
}

func (s sets) all() []*nftables.Set {
	return []*nftables.Set{s.lease, s.addrs4, s.addrs6, s.ports, s.unserved4, s.unserved6, s.bound4, s.bound6}
}

// fill makes the sets hold what want says, knowing that they hold what have says.
func (s sets) fill(c *nftables.Conn, have, want intent.Redirect) error {
	if err := exchangeAddrs(c, s.addrs4, s.addrs6, have.Addrs, want.Addrs); err != nil {
		return err
	}
	if err := exchangeAddrs(c, s.unserved4, s.unserved6, have.Unserved, want.Unserved); err != nil {
		return err
	}
	return exchange(c, s.ports, portKeys(have.Ports), portKeys(want.Ports))
}

func exchangeAddrs(c *nftables.Conn, v4, v6 *nftables.Set, have, want []netip.AddrPort) error {
	have4, have6 := byFamily(have)
	want4, want6 := byFamily(want)
	if err := exchange(c, v4, addressKeys(have4), addressKeys(want4)); err != nil {
		return err
	}
	return exchange(c, v6, addressKeys(have6), addressKeys(want6))
}

// exchange removes and adds elements; both lists are sorted.
func exchange(c *nftables.Conn, set *nftables.Set, have, want []string) error {
	for part := range slices.Chunk(elements(without(have, want)), chunk) {
		if err := c.SetDeleteElements(set, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(elements(without(want, have)), chunk) {
		if err := c.SetAddElements(set, part); err != nil {
			return err
		}
	}
	return nil
}

// without returns what of the sorted list a is not in the sorted list b.
func without(a, b []string) []string {
	var rest []string
	for _, key := range a {
		if _, found := slices.BinarySearch(b, key); !found {
			rest = append(rest, key)
		}
	}
	return rest
}

func elements(keys []string) []nftables.SetElement {
	list := make([]nftables.SetElement, len(keys))
	for i, key := range keys {
		list[i].Key = []byte(key)
	}
	return list
}

// addressKeys are the elements as the kernel compares them: address, port, and padding to whole registers.
func addressKeys(addrs []netip.AddrPort) []string {
	keys := make([]string, len(addrs))
	for i, a := range addrs {
		port := a.Port()
		keys[i] = string(append(a.Addr().AsSlice(), byte(port>>8), byte(port), 0, 0))
	}
	return keys
}

func portKeys(ports []uint16) []string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		keys[i] = string([]byte{byte(p >> 8), byte(p)})
	}
	return keys
}

// sameRules reports whether two normal forms differ at most in the elements of named sets.
func sameRules(a, b intent.Redirect) bool {
	return a.All == b.All && a.FailClosed == b.FailClosed && sameFamilies(a.Addrs, b.Addrs) && sameFamilies(a.Unserved, b.Unserved) &&
		(len(a.Ports) > 0) == (len(b.Ports) > 0) && intent.SameBlocks(a.Blocks, b.Blocks) &&
		a.MayMeetQUIC() == b.MayMeetQUIC() && a.RejectQUIC.Equal(b.RejectQUIC)
}

// sameFamilies reports whether two lists have addresses of the same families.
func sameFamilies(a, b []netip.AddrPort) bool {
	a4, a6 := byFamily(a)
	b4, b6 := byFamily(b)
	return (len(a4) > 0) == (len(b4) > 0) && (len(a6) > 0) == (len(b6) > 0)
}

// byFamily parts sorted addresses by family; IPv4 sorts first.
func byFamily(addrs []netip.AddrPort) (v4, v6 []netip.AddrPort) {
	i := slices.IndexFunc(addrs, func(a netip.AddrPort) bool { return a.Addr().Is6() })
	if i < 0 {
		return addrs, nil
	}
	return addrs[:i], addrs[i:]
}
