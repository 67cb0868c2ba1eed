package detect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"time"
)

// From RFC 8446 section 4.1.2 and 4.2, RFC 6066 section 3, RFC 7301 section 3.1, and RFC 9849 section 5.
const (
	extServerName = 0
	extALPN       = 16
	extECH        = 0xfe0d
	nameTypeHost  = 0

	handshakeHeader = 4
	helloRandom     = 2 + 32 // legacy_version and random
)

// maxHello is the longest ClientHello that is understood, its records included: several times what key shares for quantum-safe key exchange
// make of it.
const maxHello = 16 << 10

// maxHelloWait is how long the whole of a ClientHello may take. Its sender has spoken first, so no server is held up by it.
const maxHelloWait = 5 * time.Second

// Hello is what a ClientHello says of where it goes.
type Hello struct {
	// Name is the server's name in lower case; empty: none is given, or it is hidden.
	Name string
	// Hidden: the name is encrypted (ECH), or may be: what stands in its place is that of whoever hides it.
	Hidden bool
	// HTTP1 and HTTP2: the client offers these application protocols, among others perhaps.
	HTTP1, HTTP2 bool
}

// helloState is how much of a ClientHello was there.
type helloState uint8

const (
	helloPart helloState = iota
	helloWhole
	helloBroken
)

// WaitHello reads a ClientHello, of which the beginning was read, and lifts the read deadline again. One that does not come to its end in time, or is
// not understood, says nothing. An error is the connection's own.
func WaitHello(conn Deadline, src Source) (Hello, error) {
	h, state := parseHello(src.Buffered())
	if state != helloPart {
		return h, nil
	}
	if err := conn.SetReadDeadline(time.Now().Add(maxHelloWait)); err != nil {
		return Hello{}, err
	}
	for state == helloPart {
		if err := src.More(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || len(src.Buffered()) > 0 {
				break // what was sent is passed on, and so is its end
			}
			return Hello{}, err
		}
		h, state = parseHello(src.Buffered())
	}
	return h, conn.SetReadDeadline(time.Time{})
}

// parseHello reads a ClientHello, which may come in several records.
func parseHello(b []byte) (Hello, helloState) {
	var message []byte
	whole := b
	for {
		if need := helloLength(message); need > maxHello {
			return Hello{}, helloBroken
		} else if need > 0 && len(message) >= need {
			return readHello(message[handshakeHeader:need])
		}
		switch {
		case len(whole)-len(b) > maxHello:
			return Hello{}, helloBroken
		case len(b) < recordHeader:
			return Hello{}, helloPart
		case b[0] != recordHandshake || b[1] != 3 || !validRecordLength(b):
			return Hello{}, helloBroken
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		end := min(recordHeader+n, len(b))
		message = append(message, b[recordHeader:end]...)
		if len(message) > 0 && message[0] != handshakeHello {
			return Hello{}, helloBroken
		}
		if end-recordHeader < n { // only what is announced can tell that it is too long
			if helloLength(message) > maxHello {
				return Hello{}, helloBroken
			}
			return Hello{}, helloPart
		}
		b = b[end:]
	}
}

// helloLength is the length of a handshake message with its header; 0: not known yet.
func helloLength(message []byte) int {
	if len(message) < handshakeHeader {
		return 0
	}
	return handshakeHeader + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
}

// fields reads what has a length in front of it. Behind a length that does not fit nothing is left, so whoever reads until nothing is left
// comes to an end.
type fields struct {
	rest []byte
	bad  bool
}

// next takes what follows a length of size bytes.
func (f *fields) next(size int) []byte {
	n := 0
	for _, c := range f.take(size) {
		n = n<<8 | int(c)
	}
	return f.take(n)
}

func (f *fields) take(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad, f.rest = true, nil
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// readHello reads the body of a ClientHello.
func readHello(b []byte) (h Hello, _ helloState) {
	f := fields{rest: b}
	f.take(helloRandom)
	f.next(1) // legacy_session_id
	f.next(2) // cipher_suites
	f.next(1) // legacy_compression_methods
	if !f.bad && len(f.rest) == 0 {
		return h, helloWhole // none of the extensions
	}
	extensions := fields{rest: f.next(2)}
	if f.bad || len(f.rest) > 0 {
		return Hello{}, helloBroken
	}
	named := false
	for len(extensions.rest) > 0 {
		kind, data := extensions.uint16(), extensions.next(2)
		switch {
		case extensions.bad, kind == extServerName && named: // RFC 8446 section 4.2: not more than one of a kind
			return Hello{}, helloBroken
		case kind == extECH:
			h.Hidden = true
		case kind == extServerName:
			name, ok := readName(data)
			if !ok {
				return Hello{}, helloBroken
			}
			h.Name, named = name, true
		case kind == extALPN:
			h.readProtocols(data)
		}
	}
	if h.Hidden {
		h.Name = ""
	}
	return h, helloWhole
}

// readProtocols reads an application_layer_protocol_negotiation extension. One that is not understood offers nothing: who answers the client
// sees that for himself.
func (h *Hello) readProtocols(b []byte) {
	f := fields{rest: b}
	list := fields{rest: f.next(2)}
	http1, http2 := false, false
	for len(list.rest) > 0 {
		switch string(list.next(1)) {
		case "http/1.1":
			http1 = true
		case "h2":
			http2 = true
		}
	}
	if !f.bad && !list.bad && len(f.rest) == 0 {
		h.HTTP1, h.HTTP2 = http1, http2
	}
}

// readName reads the one host name in a server_name extension. RFC 6066 section 3: a name of the DNS "without a trailing dot"; "literal
// IPv4 and IPv6 addresses are not permitted". What is no host name names nothing: patterns look at the end of a name alone, and what is before
// it must not mean something else to those whom the name is sent to, such as a proxy.
func readName(b []byte) (string, bool) {
	f := fields{rest: b}
	list := fields{rest: f.next(2)}
	kind, name := list.take(1), list.next(2)
	if f.bad || list.bad || len(f.rest) > 0 || len(list.rest) > 0 || kind[0] != nameTypeHost || len(name) == 0 || len(name) > 253 {
		return "", false
	}
	if bytes.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }) {
		return "", false
	}
	return string(bytes.ToLower(bytes.TrimSuffix(name, []byte(".")))), true
}

// nameRune reports whether a host's name may have a character. Underscores are in use, though they are not allowed.
func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}
