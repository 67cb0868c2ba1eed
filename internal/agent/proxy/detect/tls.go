package detect

import "encoding/binary"

// From RFC 8446 sections 4 and 5.1.
const (
	recordHandshake = 22
	handshakeHello  = 1

	recordHeader = 5
	maxRecord    = 1 << 14
)

// LikeTLS reports whether what a client has begun to say is no text, but may be TLS.
func LikeTLS(b []byte) bool { return len(b) > 0 && b[0] == recordHandshake }

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
