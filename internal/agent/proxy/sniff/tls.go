package sniff

import "encoding/binary"

// From RFC 8446 sections 4, 4.1.2 and 5.1, and RFC 6066 section 3.
const (
	recordHandshake     = 22
	handshakeHello      = 1
	extensionServerName = 0
	nameTypeHost        = 0

	recordHeader = 5
	maxRecord    = 1 << 14
	// maxHello bounds the ClientHello that ServerName looks at.
	maxHello = 16 << 10
	// maxName is the longest host name in DNS.
	maxName = 253
)

// detectTLS recognises a record header followed by a ClientHello.
func detectTLS(b []byte) Protocol {
	switch {
	case len(b) > 1 && b[1] != 3, len(b) > 2 && b[2] > 4, len(b) > recordHeader && b[recordHeader] != handshakeHello:
		return Other
	case len(b) >= recordHeader && !validRecordLength(b):
		return Other
	case len(b) <= recordHeader:
		return Undecided
	}
	return TLS
}

func validRecordLength(b []byte) bool {
	n := binary.BigEndian.Uint16(b[3:])
	return n > 0 && n <= maxRecord
}

// ServerName returns the host name that a ClientHello asks for (SNI), as a part of hello's bytes copied only if the message is
// split over records. more says that the message is not complete; without a name and more there is none to find.
func ServerName(hello []byte) (name []byte, more bool) {
	message, more := handshake(hello)
	if more {
		return nil, true
	}
	c := cursor{message, true}
	c.skip(2 + 32) // legacy_version, random
	c.vector8()    // legacy_session_id
	c.vector16()   // cipher_suites
	c.vector8()    // legacy_compression_methods
	for ext := (cursor{c.vector16(), c.ok}); ext.ok && len(ext.b) > 0; {
		kind, data := ext.uint16(), ext.vector16()
		if ext.ok && kind == extensionServerName {
			return hostName(data), false
		}
	}
	return nil, false
}

// hostName returns the host_name of a server_name extension.
func hostName(ext []byte) []byte {
	outer := cursor{ext, true}
	for list := (cursor{outer.vector16(), outer.ok}); list.ok && len(list.b) > 0; {
		kind, name := list.uint8(), list.vector16()
		if list.ok && kind == nameTypeHost {
			return validName(name)
		}
	}
	return nil
}

func validName(name []byte) []byte {
	if len(name) > maxName {
		return nil
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil
		}
	}
	return name
}

// handshake returns the body of the ClientHello at the beginning of b, put together from its records.
func handshake(b []byte) (message []byte, more bool) {
	var joined []byte
	for records := 0; ; records++ {
		if len(b) < recordHeader {
			return nil, true
		}
		if b[0] != recordHandshake || !validRecordLength(b) {
			return nil, false
		}
		end := recordHeader + int(binary.BigEndian.Uint16(b[3:]))
		if len(b) < end {
			return nil, len(joined)+end <= maxHello
		}
		part := b[recordHeader:end]
		if records > 0 {
			part = append(joined, part...)
		}
		if len(part) >= 4 {
			size := int(part[1])<<16 | int(part[2])<<8 | int(part[3])
			switch {
			case part[0] != handshakeHello || size > maxHello:
				return nil, false
			case len(part) >= 4+size:
				return part[4 : 4+size], false
			}
		}
		joined, b = part[:len(part):len(part)], b[end:]
	}
}

// cursor reads TLS's presentation language; ok turns false at the first lack of bytes and stays so.
type cursor struct {
	b  []byte
	ok bool
}

func (c *cursor) skip(n int) []byte {
	if !c.ok || len(c.b) < n {
		c.ok = false
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) uint8() int {
	if p := c.skip(1); c.ok {
		return int(p[0])
	}
	return 0
}

func (c *cursor) uint16() int {
	if p := c.skip(2); c.ok {
		return int(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (c *cursor) vector8() []byte  { return c.skip(c.uint8()) }
func (c *cursor) vector16() []byte { return c.skip(c.uint16()) }
