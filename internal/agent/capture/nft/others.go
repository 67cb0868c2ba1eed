package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// objects are chains and sets of our table that are not of this version's making: an agent of another version had them, or the pod made
// them. Left there they would go on working on the pod's connections.
type objects struct {
	table        *nftables.Table
	chains, sets []string
}

// othersObjects lists them.
func (t *Table) othersObjects() (objects, error) {
	found := objects{table: t.table}
	c, err := nsnetlink.Dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return found, err
	}
	defer func() { _ = c.Close() }()
	chains, err := names(c, unix.NFT_MSG_GETCHAIN, unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME, 0)
	if err == nil {
		found.sets, err = names(c, unix.NFT_MSG_GETSET, unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME, unix.NFTA_SET_FLAGS)
	}
	if err != nil {
		return objects{}, fmt.Errorf("read table: %w", err)
	}
	found.chains = slices.DeleteFunc(chains, func(name string) bool {
		return slices.ContainsFunc(t.chains(), func(c *nftables.Chain) bool { return c.Name == name })
	})
	found.sets = slices.DeleteFunc(found.sets, func(name string) bool {
		return strings.HasPrefix(name, ownerPrefix) || slices.ContainsFunc(t.sets().all(), func(s *nftables.Set) bool { return s.Name == name })
	})
	return found, nil
}

// names are those of our table's objects of a kind, without sets that are parts of rules.
func names(c *netlink.Conn, dump, tableKind, nameKind, flagsKind uint16) ([]string, error) {
	answers, err := c.Execute(request(dump, netlink.Dump, []netlink.Attribute{nsnetlink.Text(tableKind, tableName)}))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, a := range answers {
		table, name, flags := "", "", uint32(0)
		if err := nsnetlink.Fields(a.Data, func(d *netlink.AttributeDecoder) {
			switch d.Type() {
			case tableKind:
				table = d.String()
			case nameKind:
				name = d.String()
			case flagsKind:
				if b := d.Bytes(); len(b) == 4 {
					flags = binary.BigEndian.Uint32(b)
				}
			}
		}); err != nil {
			return nil, err
		}
		if table == tableName && flags&unix.NFT_SET_ANONYMOUS == 0 {
			found = append(found, name)
		}
	}
	return found, nil
}

// remove removes them. What refers to them from chains of ours must be gone.
func (o objects) remove(c *nftables.Conn) {
	var chains []*nftables.Chain
	for _, name := range o.chains {
		chains = append(chains, &nftables.Chain{Table: o.table, Name: name})
		c.FlushChain(chains[len(chains)-1])
	}
	for _, name := range o.sets {
		c.DelSet(&nftables.Set{Table: o.table, Name: name})
	}
	for _, chain := range chains {
		c.DelChain(chain)
	}
}
