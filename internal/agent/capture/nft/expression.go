package nft

import (
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// NFT_CT_DST_IP and NFT_CT_DST_IP6 of linux/netfilter/nf_tables.h.
const ctDestination4, ctDestination6 = 20, 22

// replaceRules replaces the rules of a chain, in one transaction. The last of the messages must ask for an acknowledgement.
func (t *Table) replaceRules(chain string, rules ...netlink.Message) error {
	c, err := nsnetlink.Dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	removal := request(unix.NFT_MSG_DELRULE, 0, chainAttrs(chain)) // of as many as there are
	if _, err = c.SendMessages(batch(append([]netlink.Message{removal}, rules...)...)); err != nil {
		return err
	}
	if _, err = c.Receive(); err == nil {
		t.lease.commits.Add(1)
	}
	return err
}

// ruleMessage adds a rule at the end of a chain.
func ruleMessage(chain string, flags netlink.HeaderFlags, expressions ...netlink.Attribute) netlink.Message {
	return request(unix.NFT_MSG_NEWRULE, flags|netlink.Create|netlink.Append, append(chainAttrs(chain),
		nsnetlink.Nested(unix.NFTA_RULE_EXPRESSIONS, expressions...)))
}

func chainAttrs(chain string) []netlink.Attribute {
	return []netlink.Attribute{
		nsnetlink.Text(unix.NFTA_RULE_TABLE, tableName),
		nsnetlink.Text(unix.NFTA_RULE_CHAIN, chain),
	}
}

func expression(name string, data ...netlink.Attribute) netlink.Attribute {
	return nsnetlink.Nested(unix.NFTA_LIST_ELEM, nsnetlink.Text(unix.NFTA_EXPR_NAME, name), nsnetlink.Nested(unix.NFTA_EXPR_DATA, data...))
}

func value(kind uint16, data []byte) netlink.Attribute {
	return nsnetlink.Nested(kind, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: data})
}

func comparison(op uint32, data []byte) netlink.Attribute {
	return expression("cmp", nsnetlink.Number(unix.NFTA_CMP_SREG, reg1), nsnetlink.Number(unix.NFTA_CMP_OP, op), value(unix.NFTA_CMP_DATA, data))
}

func payload(base, offset, size, register uint32) netlink.Attribute {
	return expression("payload", nsnetlink.Number(unix.NFTA_PAYLOAD_DREG, register), nsnetlink.Number(unix.NFTA_PAYLOAD_BASE, base),
		nsnetlink.Number(unix.NFTA_PAYLOAD_OFFSET, offset), nsnetlink.Number(unix.NFTA_PAYLOAD_LEN, size))
}

// original loads what the first packet of a connection carried before it was translated.
func original(key, register uint32) netlink.Attribute {
	return expression("ct", nsnetlink.Number(unix.NFTA_CT_KEY, key), nsnetlink.Number(unix.NFTA_CT_DREG, register),
		netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{ctOriginal}})
}

func dropVerdict() netlink.Attribute {
	const drop = 0 // NF_DROP
	return nsnetlink.Nested(unix.NFTA_IMMEDIATE_DATA, nsnetlink.Nested(unix.NFTA_DATA_VERDICT, nsnetlink.Number(unix.NFTA_VERDICT_CODE, drop)))
}
