package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// The agent's own connections and the pod's must not be mistaken for each other. The kernel knows a connection by its addresses and
// ports, and goes on knowing it for seconds after a reset, in which time the ports can be drawn again: a call of the pod's from a
// port that the agent had used for the same destination would not be asked about and go direct, and one of the agent's from a
// port of the pod's would come back to the agent. So what the agent's mark is on is tracked in a zone of its own.

// writeZoneRule replaces whatever is in zoneChain by its one rule. A kernel without zones (CONFIG_NF_CONNTRACK_ZONES) does without. It is a
// transaction of its own because the library cannot say that only the original direction is meant; answers carry no mark to know them by.
// There must be no moment without the rule while an agent has connections: a packet that is looked for in no zone is a connection's first to
// the kernel, with a port that is taken, leaves from another port, and the server resets the connection.
func (t *Table) writeZoneRule() error {
	if err := t.replaceRules(zoneChain, zoneRule(t.settings.Mark)); err != nil && !unknown(err) {
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
		expression("meta", nsnetlink.Number(unix.NFTA_META_KEY, unix.NFT_META_MARK), nsnetlink.Number(unix.NFTA_META_DREG, reg1)),
		comparison(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint32(nil, mark)),
		expression("immediate", nsnetlink.Number(unix.NFTA_IMMEDIATE_DREG, reg1), value(unix.NFTA_IMMEDIATE_DATA, zone)),
		expression("ct", nsnetlink.Number(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE), nsnetlink.Number(unix.NFTA_CT_SREG, reg1),
			netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{ctOriginal}}),
	)
}

// ctOriginal is IP_CT_DIR_ORIGINAL.
const ctOriginal = 0
