package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// Foreign names the tables of others in the namespace, "family table", that send TCP connections which leave the pod elsewhere, as a
// mesh's sidecar does. What they take never comes to the agent; what the proxy behind them sends does.
func (t *Table) Foreign() ([]string, error) {
	c, err := nsnetlink.Dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	entries, err := natOutputs(c)
	if err != nil {
		return nil, fmt.Errorf("read chains of others: %w", err)
	}
	var found []string
	for table, chains := range entries {
		sends, err := sendsElsewhere(c, table, chains)
		if err != nil && !errors.Is(err, unix.ENOENT) { // the table may be gone meanwhile
			return nil, fmt.Errorf("read rules of others: %w", err)
		}
		if sends {
			found = append(found, table.String())
		}
	}
	legacy, err := legacyRedirects(t.ns)
	if err != nil {
		return nil, fmt.Errorf("read iptables: %w", err)
	}
	found = append(found, legacy...)
	slices.Sort(found)
	return found, nil
}

// tableKey names a table of nftables.
type tableKey struct {
	family byte
	name   string
}

func (k tableKey) String() string {
	family := map[byte]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet"}[k.family]
	return strings.TrimSpace(family + " " + k.name)
}

// natOutputs are the NAT chains of other tables at the output hook.
func natOutputs(c *netlink.Conn) (map[tableKey][]string, error) {
	all := request(unix.NFT_MSG_GETCHAIN, netlink.Dump, nil)
	all.Data[0] = unix.NFPROTO_UNSPEC
	answers, err := c.Execute(all)
	if err != nil {
		return nil, err
	}
	found := make(map[tableKey][]string)
	for _, a := range answers {
		table, chain, err := parseNATOutput(a.Data)
		if err != nil {
			return nil, err
		}
		if chain != "" && table != (tableKey{unix.NFPROTO_INET, tableName}) {
			found[table] = append(found[table], chain)
		}
	}
	return found, nil
}

// parseNATOutput returns the name of a NAT chain at the output hook; of other chains it is "".
func parseNATOutput(answer []byte) (table tableKey, chain string, err error) {
	var name, kind string
	hook := uint32(unix.NF_INET_NUMHOOKS)
	err = nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case unix.NFTA_CHAIN_TABLE:
			table.name = d.String()
		case unix.NFTA_CHAIN_NAME:
			name = d.String()
		case unix.NFTA_CHAIN_TYPE:
			kind = d.String()
		case unix.NFTA_CHAIN_HOOK:
			if number := nsnetlink.Attribute(d.Bytes(), unix.NFTA_HOOK_HOOKNUM); len(number) == 4 {
				hook = binary.BigEndian.Uint32(number)
			}
		}
	})
	if err != nil || kind != "nat" || hook != unix.NF_INET_LOCAL_OUT {
		return tableKey{}, "", err
	}
	table.family = answer[0]
	return table, name, nil
}

// sendsElsewhere reports whether a rule that sends connections elsewhere can be reached from one of a table's chains.
func sendsElsewhere(c *netlink.Conn, table tableKey, from []string) (bool, error) {
	rules, err := rulesOf(c, table)
	if err != nil {
		return false, err
	}
	seen := make(map[string]bool)
	for queue := slices.Clone(from); len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		for _, r := range rules[queue[0]] {
			if r.sends {
				return true, nil
			}
			queue = append(queue, r.jumps...)
			for _, set := range r.maps {
				jumps, err := mapJumps(c, table, set)
				if err != nil {
					return false, err
				}
				queue = append(queue, jumps...)
			}
		}
	}
	return false, nil
}
