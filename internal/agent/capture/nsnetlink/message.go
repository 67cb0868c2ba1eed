package nsnetlink

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Marshal returns the bytes of messages.
func Marshal(messages []netlink.Message) []byte {
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

// Netfilter is a request to a subsystem of nfnetlink about one address family.
func Netfilter(subsystem, kind uint16, flags netlink.HeaderFlags, family byte, attributes []netlink.Attribute) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(subsystem<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, Attributes(attributes...)...),
	}
}

// Attributes returns the bytes of attributes.
func Attributes(list ...netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(list)
	if err != nil {
		panic(err) // only attributes longer than 64 KiB cannot be marshalled, and these are short
	}
	return b
}

// Nested is an attribute that consists of others.
func Nested(kind uint16, list ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: Attributes(list...)}
}

// Number is an attribute of 32 bits in network order.
func Number(kind uint16, n uint32) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.BigEndian.AppendUint32(nil, n)}
}

// Text is an attribute that is a name.
func Text(kind uint16, s string) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: []byte(s + "\x00")}
}

// isError reports whether an answer is a struct nlmsgerr.
func isError(answer []byte) bool {
	return len(answer) >= unix.SizeofNlMsghdr && binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR
}

// Acknowledgement reads the kernel's answer to one message: a struct nlmsgerr, whose code is zero when all is well.
func Acknowledgement(answer []byte) error {
	const code = unix.SizeofNlMsghdr
	if len(answer) < code+4 || !isError(answer) {
		return fmt.Errorf("unexpected answer of %d bytes", len(answer))
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[code:])); errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}

// Fields calls read for every attribute of an answer of nfnetlink.
func Fields(answer []byte, read func(d *netlink.AttributeDecoder)) error {
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

// Attribute is the bytes of the last attribute of a kind in data, or nil.
func Attribute(data []byte, kind uint16) (found []byte) {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return nil
	}
	for d.Next() {
		if d.Type() == kind {
			found = d.Bytes()
		}
	}
	return found
}
