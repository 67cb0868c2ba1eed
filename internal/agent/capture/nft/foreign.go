package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
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
		rules, err := rulesOf(c, table)
		if err != nil && !errors.Is(err, unix.ENOENT) { // the table may be gone meanwhile
			return nil, fmt.Errorf("read rules of others: %w", err)
		}
		if reaches(rules, chains) {
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

// natOutputs are the chains of tables that are not ours which the kernel asks where connections from the namespace go.
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

// parseNATOutput reads the name of a chain that the kernel asks where connections from the namespace go; of other chains it is "".
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

// foreignRule is what a rule of somebody else's does.
type foreignRule struct {
	sends bool // connections elsewhere
	jumps []string
}

// rulesOf are the rules of a table by chain.
func rulesOf(c *netlink.Conn, table tableKey) (map[string][]foreignRule, error) {
	all := request(unix.NFT_MSG_GETRULE, netlink.Dump, []netlink.Attribute{nsnetlink.Text(unix.NFTA_RULE_TABLE, table.name)})
	all.Data[0] = table.family
	answers, err := c.Execute(all)
	if err != nil {
		return nil, err
	}
	found := make(map[string][]foreignRule)
	for _, a := range answers {
		chain, r, err := parseForeignRule(a.Data)
		if err != nil {
			return nil, err
		}
		found[chain] = append(found[chain], r)
	}
	return found, nil
}

// parseForeignRule reads a rule and the name of its chain.
func parseForeignRule(answer []byte) (chain string, r foreignRule, err error) {
	err = nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = d.String()
		case unix.NFTA_RULE_EXPRESSIONS:
			d.Nested(func(list *netlink.AttributeDecoder) error { r.read(list); return nil })
		}
	})
	return chain, r, err
}

// read reads a rule's expressions.
func (r *foreignRule) read(list *netlink.AttributeDecoder) {
	udp := false
	for list.Next() {
		var name string
		var data []byte
		list.Nested(func(e *netlink.AttributeDecoder) error {
			for e.Next() {
				switch e.Type() {
				case unix.NFTA_EXPR_NAME:
					name = e.String()
				case unix.NFTA_EXPR_DATA:
					data = e.Bytes()
				}
			}
			return nil
		})
		switch name {
		case "cmp": // with the protocol's number: the only one of one byte and this value in a NAT chain
			udp = udp || bytes.Equal(nestedValue(data, unix.NFTA_CMP_DATA), []byte{unix.IPPROTO_UDP})
		case "redir", "tproxy":
			r.sends = true
		case "nat":
			r.sends = r.sends || bytes.Equal(nsnetlink.Attribute(data, unix.NFTA_NAT_TYPE), []byte{0, 0, 0, unix.NFT_NAT_DNAT})
		case "target": // of iptables
			target := strings.TrimRight(string(nsnetlink.Attribute(data, unix.NFTA_TARGET_NAME)), "\x00")
			r.sends = r.sends || slices.Contains(elsewhere, target)
		case "immediate":
			if to := verdictChain(data); to != "" {
				r.jumps = append(r.jumps, to)
			}
		}
	}
	r.sends = r.sends && !udp
}

// elsewhere are the targets of iptables that send a connection elsewhere.
var elsewhere = []string{"REDIRECT", "DNAT", "NETMAP"}

func nestedValue(data []byte, kind uint16) []byte {
	return nsnetlink.Attribute(nsnetlink.Attribute(data, kind), unix.NFTA_DATA_VALUE)
}

// verdictChain is where an immediate expression jumps or goes to, or "".
func verdictChain(data []byte) string {
	verdict := nsnetlink.Attribute(nsnetlink.Attribute(data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT)
	return strings.TrimRight(string(nsnetlink.Attribute(verdict, unix.NFTA_VERDICT_CHAIN)), "\x00")
}

// reaches says whether a rule that sends connections elsewhere can be reached from one of the chains.
func reaches(rules map[string][]foreignRule, from []string) bool {
	seen := make(map[string]bool)
	for queue := slices.Clone(from); len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		for _, r := range rules[queue[0]] {
			if r.sends {
				return true
			}
			queue = append(queue, r.jumps...)
		}
	}
	return false
}

// legacyRedirects looks into iptables of the old kind, which nftables does not know of. Their tables are asked for only where they are
// there, because asking makes them. A redirect of what comes in counts too: that is not worth telling apart, as those who have the one have
// the other.
func legacyRedirects(ns *netns.Namespace) ([]string, error) {
	var found []string
	err := ns.Do(func() error {
		for _, k := range legacyKinds {
			names, err := os.ReadFile("/proc/thread-self/net/" + k.names)
			if err != nil || !slices.Contains(strings.Fields(string(names)), "nat") {
				continue // no support for it at all, or no such table
			}
			entries, err := k.entries()
			if err != nil {
				return err
			}
			if slices.ContainsFunc(elsewhere, func(target string) bool { return bytes.Contains(entries, []byte(target+"\x00")) }) {
				found = append(found, k.tool+" nat")
			}
		}
		return nil
	})
	return found, err
}
