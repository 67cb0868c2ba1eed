package nft

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// A socket that is bound to an interface (SO_BINDTODEVICE) cannot reach the agent: its packets leave by that interface whatever their
// destination, and the loopback's address is not there. Whether a socket is bound no expression can say, but where its redirected
// request for a connection is about to leave shows it. That request is dropped and the connection remembered for a while by its ends; when
// TCP asks again, a second later, it goes direct, ungoverned.
const (
	boundTimeout = 30 * time.Second // several attempts of TCP, which come after 1, 3, 7 and 15 s
	maxBound     = 1 << 12          // connections remembered at a time; the others wait until some are forgotten
)

// endsSet is a set of connections by their ends, which the kernel fills.
func endsSet(table *nftables.Table, id uint32, name string, address nftables.SetDatatype) *nftables.Set {
	port := nftables.TypeInetService
	return &nftables.Set{Table: table, ID: id, Name: name, Concatenation: true, KeyByteOrder: binaryutil.BigEndian,
		KeyType: nftables.MustConcatSetType(address, port, address, port), Dynamic: true, HasTimeout: true, Timeout: boundTimeout,
		Size: maxBound}
}

// ends are the registers of a key of endsSet: source address and port, destination address and port.
type ends struct{ source, sourcePort, destination, destinationPort uint32 }

func endsOf(family byte) ends {
	if family == unix.NFPROTO_IPV6 {
		return ends{reg32of0, reg32of0 + 4, reg32of0 + 5, reg32of0 + 9}
	}
	return ends{reg32of0, reg32of0 + 1, reg32of0 + 2, reg32of0 + 3}
}

// endsIn matches packets of the connections in set.
func endsIn(family byte, set *nftables.Set) []expr.Any {
	r, from, size := endsOf(family), uint32(source4), uint32(size4)
	if family == unix.NFPROTO_IPV6 {
		from, size = source6, size6
	}
	return append(familyIs(family), network(r.source, from, size), port(r.sourcePort, sourcePort), destination(family, r.destination),
		destinationPort(r.destinationPort), in(reg32of0, set))
}

// writeBoundRules replaces the rules of boundChain. They are messages of their own making because the library says the direction of a tracked
// connection in a way that the kernel complains about in its log. A kernel that does not know what they ask for does without. What
// cannot be remembered, because the set is full, is dropped all the same: the kernel would know a request that has left, and ask the rules
// about none that follow.
func (t *Table) writeBoundRules() error {
	const v4, v6 = unix.NFPROTO_IPV4, unix.NFPROTO_IPV6
	err := t.replaceRules(boundChain, t.boundRule(v4, 0, remembering(v4)), t.boundRule(v6, 0, remembering(v6)),
		t.boundRule(v4, 0, nil), t.boundRule(v6, netlink.Acknowledge, nil))
	if err != nil && !unknown(err) {
		return fmt.Errorf("leave alone sockets bound to an interface: %w", err)
	}
	return nil
}

// boundRule is, for IPv4, "meta oif != lo ip daddr 127.0.0.1 tcp dport <port>", something that is done then, and "drop".
func (t *Table) boundRule(family byte, flags netlink.HeaderFlags, then []netlink.Attribute) netlink.Message {
	to, size, listener := uint32(destination4), uint32(size4), []byte{127, 0, 0, 1}
	if family == unix.NFPROTO_IPV6 {
		to, size, listener = destination6, size6, append(make([]byte, size6-1), 1)
	}
	const loopback = 1 // the index of the loopback in every namespace
	match := []netlink.Attribute{
		expression("meta", nsnetlink.Number(unix.NFTA_META_KEY, unix.NFT_META_NFPROTO), nsnetlink.Number(unix.NFTA_META_DREG, reg1)),
		comparison(unix.NFT_CMP_EQ, []byte{family}),
		expression("meta", nsnetlink.Number(unix.NFTA_META_KEY, unix.NFT_META_OIF), nsnetlink.Number(unix.NFTA_META_DREG, reg1)),
		comparison(unix.NFT_CMP_NEQ, binary.NativeEndian.AppendUint32(nil, loopback)),
		payload(unix.NFT_PAYLOAD_NETWORK_HEADER, to, size, reg1), comparison(unix.NFT_CMP_EQ, listener),
		expression("meta", nsnetlink.Number(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO), nsnetlink.Number(unix.NFTA_META_DREG, reg1)),
		comparison(unix.NFT_CMP_EQ, []byte{unix.IPPROTO_TCP}),
		payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, toPort, sizeOfPort, reg1),
		comparison(unix.NFT_CMP_EQ, binary.BigEndian.AppendUint16(nil, t.to.Port)),
	}
	drop := expression("immediate", nsnetlink.Number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT), dropVerdict())
	return ruleMessage(boundChain, flags, slices.Concat(match, then, []netlink.Attribute{drop})...)
}

// remembering is, for IPv4, "update @bound4 { ip saddr . tcp sport . ct original ip daddr . ct original proto-dst }". Where the set is
// full nothing that follows it in its rule is done.
func remembering(family byte) []netlink.Attribute {
	r, set, from, size, key := endsOf(family), "bound4", uint32(source4), uint32(size4), uint32(ctDestination4)
	if family == unix.NFPROTO_IPV6 {
		set, from, size, key = "bound6", source6, size6, ctDestination6
	}
	return []netlink.Attribute{
		payload(unix.NFT_PAYLOAD_NETWORK_HEADER, from, size, r.source),
		payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, sourcePort, sizeOfPort, r.sourcePort),
		original(key, r.destination), original(unix.NFT_CT_PROTO_DST, r.destinationPort),
		expression("dynset", nsnetlink.Text(unix.NFTA_DYNSET_SET_NAME, set),
			nsnetlink.Number(unix.NFTA_DYNSET_OP, unix.NFT_DYNSET_OP_UPDATE), nsnetlink.Number(unix.NFTA_DYNSET_SREG_KEY, reg32of0)),
	}
}
