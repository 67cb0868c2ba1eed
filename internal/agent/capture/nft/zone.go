package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The agent's own connections and the pod's must not be mistaken for each other. The kernel knows a connection by its addresses and
// ports, and goes on knowing it for seconds after a reset, in which time the ports can be drawn again: a call of the pod's from a
// port that the agent had used for the same destination would not be asked about and go direct, and one of the agent's from a
// port of the pod's would come back to the agent. So what the agent's mark is on is tracked in a zone of its own.

// separate replaces whatever is in zoneChain by its one rule. A kernel without zones (CONFIG_NF_CONNTRACK_ZONES) does without. It is a
// transaction of its own because the library cannot say that only the original direction is meant; answers carry no mark to tell them by.
// There must be no moment without the rule while an agent has connections: a packet that is looked for in no zone is a connection's first to
// the kernel, with a port that is taken, leaves from another port, and the server resets the connection.
func (t *Table) separate() error {
	if err := t.exchangeRules(zoneChain, zoneRule(t.options.Mark)); err != nil && !unknown(err) {
		return fmt.Errorf("separate the agent's connections: %w", err)
	}
	return nil
}

// unknown says that a kernel was built without what a rule asks for: the key is not known, the attribute is not expected, or the
// module is not there.
func unknown(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)
}

// zoneRule is "meta mark <mark> ct original zone set <the mark's low half>".
func zoneRule(mark uint32) netlink.Message {
	zone := binary.NativeEndian.AppendUint16(nil, uint16(mark))
	return ruleMessage(zoneChain, netlink.Acknowledge,
		expression("meta", number(unix.NFTA_META_KEY, unix.NFT_META_MARK), number(unix.NFTA_META_DREG, reg1)),
		comparison(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint32(nil, mark)),
		expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, reg1), value(unix.NFTA_IMMEDIATE_DATA, zone)),
		expression("ct", number(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE), number(unix.NFTA_CT_SREG, reg1),
			netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{ctOriginal}}),
	)
}

// ctOriginal is IP_CT_DIR_ORIGINAL.
const ctOriginal = 0

// exchangeRules replaces the rules of a chain, in one transaction. The last of the messages must ask for an acknowledgement.
func (t *Table) exchangeRules(chain string, rules ...netlink.Message) error {
	c, err := dial(t.ns, unix.NETLINK_NETFILTER)
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
		netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS, Data: attrs(expressions...)}))
}

func chainAttrs(chain string) []netlink.Attribute {
	return []netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: []byte(tableName + "\x00")},
		{Type: unix.NFTA_RULE_CHAIN, Data: []byte(chain + "\x00")},
	}
}

func expression(name string, data ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: attrs(
		netlink.Attribute{Type: unix.NFTA_EXPR_NAME, Data: []byte(name + "\x00")},
		netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA, Data: attrs(data...)},
	)}
}

func number(kind uint16, n uint32) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.BigEndian.AppendUint32(nil, n)}
}

func value(kind uint16, data []byte) netlink.Attribute {
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: attrs(netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: data})}
}
