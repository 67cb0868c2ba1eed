package nft

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// request is one nftables message about the inet family.
func request(kind uint16, flags netlink.HeaderFlags, attributes []netlink.Attribute) netlink.Message {
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags |= netlink.Create
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attrs(attributes...)...),
	}
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
func transaction(messages ...netlink.Message) []byte { return marshal(batch(messages...)) }

func marshal(messages []netlink.Message) []byte {
	var all []byte
	for _, m := range messages {
		m.Header.Length = uint32(unix.SizeofNlMsghdr + len(m.Data))
		b, err := m.MarshalBinary()
		if err != nil {
			panic(err) // only lengths that are not those of the data cannot be marshalled
		}
		all = append(all, b...)
	}
	return all
}

// acknowledgement reads the kernel's answer to one message: a struct nlmsgerr, whose code is zero when all is well.
func acknowledgement(answer []byte) error {
	const code = unix.SizeofNlMsghdr
	if len(answer) < code+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("unexpected answer of %d bytes", len(answer))
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[code:])); errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}

// setAttrs name a set of our table, and elements of it unless nil.
func setAttrs(set string, elements []byte) []netlink.Attribute {
	attributes := []netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(tableName + "\x00")},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte(set + "\x00")},
	}
	if elements != nil {
		attributes = append(attributes, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_LIST_ELEMENTS, Data: elements})
	}
	return attributes
}

func attrs(list ...netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(list)
	if err != nil {
		panic(err) // only attributes longer than 64 KiB cannot be marshalled, and these are short
	}
	return b
}

// fields calls read for every attribute of an answer.
func fields(answer []byte, read func(d *netlink.AttributeDecoder)) error {
	if len(answer) < 4 {
		return fmt.Errorf("answer of %d bytes", len(answer))
	}
	d, err := netlink.NewAttributeDecoder(answer[4:])
	if err != nil {
		return err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		read(d)
	}
	return d.Err()
}

// eachElement calls read for every attribute of every element that an answer about a set's elements holds.
func eachElement(answer []byte, read func(d *netlink.AttributeDecoder)) error {
	return fields(answer, func(d *netlink.AttributeDecoder) {
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
