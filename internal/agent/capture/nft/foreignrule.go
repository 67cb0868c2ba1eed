package nft

import (
	"bytes"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// foreignRule is what a rule of somebody else's does.
type foreignRule struct {
	sends bool     // connections elsewhere
	jumps []string // chains that it goes on in
	maps  []string // sets whose elements say in which chain it goes on
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
		switch name, data := parseExpression(list); name {
		case "cmp": // with the protocol's number: the only one of one byte and this value in a NAT chain
			udp = udp || bytes.Equal(nestedValue(data, unix.NFTA_CMP_DATA), []byte{unix.IPPROTO_UDP})
		case "redir", "tproxy":
			r.sends = true
		case "nat":
			r.sends = r.sends || bytes.Equal(nsnetlink.Attribute(data, unix.NFTA_NAT_TYPE), []byte{0, 0, 0, unix.NFT_NAT_DNAT})
		case "target": // of iptables
			r.sends = r.sends || slices.Contains(elsewhere, text(data, unix.NFTA_TARGET_NAME))
		case "immediate":
			if to := verdictChain(nsnetlink.Attribute(data, unix.NFTA_IMMEDIATE_DATA)); to != "" {
				r.jumps = append(r.jumps, to)
			}
		case "lookup": // in a verdict map, if what is found goes where verdicts go
			if bytes.Equal(nsnetlink.Attribute(data, unix.NFTA_LOOKUP_DREG), []byte{0, 0, 0, unix.NFT_REG_VERDICT}) {
				r.maps = append(r.maps, text(data, unix.NFTA_LOOKUP_SET))
			}
		}
	}
	r.sends = r.sends && !udp
}

// parseExpression reads the name of an expression and what it consists of.
func parseExpression(list *netlink.AttributeDecoder) (name string, data []byte) {
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
	return name, data
}

// mapJumps are the chains that the elements of a verdict map lead to.
func mapJumps(c *netlink.Conn, table tableKey, set string) (jumps []string, err error) {
	all := request(unix.NFT_MSG_GETSETELEM, netlink.Dump, []netlink.Attribute{
		nsnetlink.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table.name), nsnetlink.Text(unix.NFTA_SET_ELEM_LIST_SET, set)})
	all.Data[0] = table.family
	answers, err := c.Execute(all)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if err := eachElement(a.Data, func(d *netlink.AttributeDecoder) {
			if d.Type() != unix.NFTA_SET_ELEM_DATA {
				return
			}
			if to := verdictChain(d.Bytes()); to != "" {
				jumps = append(jumps, to)
			}
		}); err != nil {
			return nil, err
		}
	}
	return jumps, nil
}

// elsewhere are the targets of iptables that send a connection elsewhere.
var elsewhere = []string{"REDIRECT", "DNAT", "NETMAP"}

func nestedValue(data []byte, kind uint16) []byte {
	return nsnetlink.Attribute(nsnetlink.Attribute(data, kind), unix.NFTA_DATA_VALUE)
}

// verdictChain is where a verdict jumps or goes to, or "".
func verdictChain(data []byte) string {
	return text(nsnetlink.Attribute(data, unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN)
}

// text is an attribute that is a name.
func text(data []byte, kind uint16) string {
	return strings.TrimRight(string(nsnetlink.Attribute(data, kind)), "\x00")
}
