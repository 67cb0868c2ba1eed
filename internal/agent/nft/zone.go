package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The agent's own connections and the pod's must not be mistaken for each other. The kernel knows a connection by its addresses and
// ports, and goes on knowing it for seconds after a reset, in which time the ports can be drawn again: a call of the pod's from a
// port that the agent had used for the same destination would not be asked about and go direct, and one of the agent's from a
// port of the pod's would come back to the agent. So what the agent's mark is on is tracked in a zone of its own.
const zoneChain = "zone"

// chainForZone is asked before the kernel tracks a packet.
func (t *Table) chainForZone() *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return &nftables.Chain{Table: t.table, Name: zoneChain, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput,
		Priority: nftables.ChainPriorityRaw, Policy: &policy}
}

// separate replaces whatever is in chainForZone by its one rule. A kernel without zones (CONFIG_NF_CONNTRACK_ZONES) does without. It is a
// transaction of its own because the library cannot say that only the original direction is meant; answers carry no mark to tell them by.
// There must be no moment without the rule while an agent has connections: a packet that is looked for in no zone is a connection's first to
// the kernel, with a port that is taken, leaves from another port, and the server resets the connection.
func (t *Table) separate() error {
	c, err := dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err = c.SendMessages(batch(noZoneRules(), zoneRule(t.options.Mark))); err == nil {
		_, err = c.Receive()
	}
	if err != nil && !slices.ContainsFunc(zoneless, func(e syscall.Errno) bool { return errors.Is(err, e) }) {
		return fmt.Errorf("separate the agent's connections: %w", err)
	}
	return nil
}

// zoneless is what kernels that do not know zones, or not that of one direction, were built to say: the key is not known, the
// attribute is not expected, or the module is not there.
var zoneless = []syscall.Errno{unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT}

// noZoneRules removes the rules of chainForZone, as many as there are.
func noZoneRules() netlink.Message {
	return request(unix.NFT_MSG_DELRULE, 0, []netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: []byte(tableName + "\x00")},
		{Type: unix.NFTA_RULE_CHAIN, Data: []byte(zoneChain + "\x00")},
	})
}

// zoneRule is "meta mark <mark> ct original zone set <the mark's low half>".
func zoneRule(mark uint32) netlink.Message {
	zone := binary.NativeEndian.AppendUint16(nil, uint16(mark))
	return request(unix.NFT_MSG_NEWRULE, netlink.Acknowledge|netlink.Create|netlink.Append, []netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: []byte(tableName + "\x00")},
		{Type: unix.NFTA_RULE_CHAIN, Data: []byte(zoneChain + "\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS, Data: attrs(
			expression("meta", number(unix.NFTA_META_KEY, unix.NFT_META_MARK), number(unix.NFTA_META_DREG, reg1)),
			expression("cmp", number(unix.NFTA_CMP_SREG, reg1), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ),
				value(unix.NFTA_CMP_DATA, binary.NativeEndian.AppendUint32(nil, mark))),
			expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, reg1), value(unix.NFTA_IMMEDIATE_DATA, zone)),
			expression("ct", number(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE), number(unix.NFTA_CT_SREG, reg1),
				netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{ctOriginal}}),
		)},
	})
}

// ctOriginal is IP_CT_DIR_ORIGINAL.
const ctOriginal = 0

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
