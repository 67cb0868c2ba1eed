package nft

import (
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// request is one nftables message about the inet family.
func request(kind uint16, flags netlink.HeaderFlags, attributes []netlink.Attribute) netlink.Message {
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags |= netlink.Create
	}
	return nsnetlink.Netfilter(unix.NFNL_SUBSYS_NFTABLES, kind, flags, unix.NFPROTO_INET, attributes)
}

// batch frames messages so that the kernel does all or nothing.
func batch(messages ...netlink.Message) []netlink.Message {
	frame := func(kind uint16) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request},
			Data: []byte{0, 0, 0, unix.NFNL_SUBSYS_NFTABLES}}
	}
	framed := append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, messages...)
	return append(framed, frame(unix.NFNL_MSG_BATCH_END))
}

// transaction returns the bytes of a batch.
func transaction(messages ...netlink.Message) []byte { return nsnetlink.Marshal(batch(messages...)) }

// setAttrs name a set of our table, and elements of it unless nil.
func setAttrs(set string, elements []byte) []netlink.Attribute {
	attributes := []netlink.Attribute{
		nsnetlink.Text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName), nsnetlink.Text(unix.NFTA_SET_ELEM_LIST_SET, set),
	}
	if elements != nil {
		attributes = append(attributes, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_LIST_ELEMENTS, Data: elements})
	}
	return attributes
}

// eachElement calls read for every attribute of every element that an answer about a set's elements holds.
func eachElement(answer []byte, read func(d *netlink.AttributeDecoder)) error {
	return nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		if d.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		d.Nested(func(list *netlink.AttributeDecoder) error {
			for list.Next() {
				list.Nested(func(element *netlink.AttributeDecoder) error {
					for element.Next() {
						read(element)
					}
					return nil
				})
			}
			return nil
		})
	})
}

// eachKey calls read for the key of every element that an answer about a set's elements holds.
func eachKey(answer []byte, read func(key []byte)) error {
	return eachElement(answer, func(d *netlink.AttributeDecoder) {
		if d.Type() != unix.NFTA_SET_ELEM_KEY {
			return
		}
		d.Nested(func(key *netlink.AttributeDecoder) error {
			for key.Next() {
				if key.Type() == unix.NFTA_DATA_VALUE {
					read(key.Bytes())
				}
			}
			return nil
		})
	})
}
