package http1

import (
	"bytes"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// known are the fields that the codec itself understands.
type known uint8

const (
	other known = iota
	fHost
	fConnection
	fContentLength
	fTransferEncoding
	fUpgrade
	fTE
	fTrailer
	fExpect
	fKeepAlive
	fProxyConnection
	fHTTP2Settings
	fMaxForwards
)

// classify recognises a field name. Length and first letter rule out nearly everything before a comparison is made.
func classify(name []byte) known {
	var lower string
	var k known
	switch len(name) {
	case 2:
		lower, k = "te", fTE
	case 4:
		lower, k = "host", fHost
	case 6:
		lower, k = "expect", fExpect
	case 7:
		lower, k = "upgrade", fUpgrade
		if name[0]|0x20 == 't' {
			lower, k = "trailer", fTrailer
		}
	case 10:
		lower, k = "connection", fConnection
		if name[0]|0x20 == 'k' {
			lower, k = "keep-alive", fKeepAlive
		}
	case 12:
		lower, k = "max-forwards", fMaxForwards
	case 14:
		lower, k = "content-length", fContentLength
		if name[0]|0x20 == 'h' {
			lower, k = "http2-settings", fHTTP2Settings
		}
	case 16:
		lower, k = "proxy-connection", fProxyConnection
	case 17:
		lower, k = "transfer-encoding", fTransferEncoding
	default:
		return other
	}
	if name[0]|0x20 == lower[0] && syntax.EqualFold(name, lower) {
		return k
	}
	return other
}

// splitField checks a field line (without CRLF) and returns its name and its trimmed value.
func splitField(line []byte) (name, value []byte, err error) {
	i := 0
	for i < len(line) && syntax.Token[line[i]] {
		i++
	}
	switch {
	case i == len(line):
		return nil, nil, ErrFieldName
	case i == 0 && (line[0] == ' ' || line[0] == '\t'):
		return nil, nil, ErrFold
	case i == 0 || line[i] != ':':
		return nil, nil, ErrFieldName
	}
	if !syntax.Clean(line[i+1:]) {
		return nil, nil, ErrFieldValue
	}
	return line[:i], trim(line[i+1:]), nil
}

// field takes in one field line of the head; at is the line's offset from the head's start.
func (h *Head) field(line []byte, at int) error {
	name, value, err := splitField(line)
	if err != nil && h.mended {
		name, value, err = splitLoose(line)
	}
	if err != nil {
		return err
	}
	switch classify(name) {
	case fHost:
		return h.hostField(line, name, value, at)
	case fContentLength:
		return h.contentLength(value)
	case fTransferEncoding:
		// A second coding, in this field or in another, cannot be understood: chunked must come last and only once.
		if h.seen.coding || !syntax.EqualFold(value, "chunked") {
			return ErrCoding
		}
		h.seen.coding = true
	case fConnection:
		h.seen.rewrite = true
		return h.connection(line, value, at)
	case fUpgrade:
		h.upgradeField(value)
	case fTE:
		h.teField(value)
	case fKeepAlive:
		h.seen.rewrite, h.seen.keepAliveField = true, true
	case fProxyConnection, fHTTP2Settings:
		h.seen.rewrite = true
	case fExpect:
		h.seen.expect100 = h.seen.expect100 || syntax.EqualFold(value, "100-continue")
	case fMaxForwards:
		h.maxForwardsField(value)
	case fTrailer, other:
	}
	return nil
}

func (h *Head) maxForwardsField(value []byte) {
	if h.seen.counts && syntax.IsDigits(value) {
		h.seen.rewrite = true
		h.seen.noForwards = h.seen.noForwards || syntax.NoForwards(value)
	}
}

// hostField takes in a Host field. In a response it means nothing.
func (h *Head) hostField(line, name, value []byte, at int) error {
	if h.seen.response {
		return nil
	}
	if h.seen.host {
		return ErrHostTwice
	}
	h.seen.host = true
	from := at + len(line) - len(bytes.TrimLeft(line[len(name)+1:], " \t"))
	h.host = span{uint32(from), uint32(from + len(value))}
	return nil
}

func (h *Head) upgradeField(value []byte) {
	h.seen.rewrite, h.seen.upgrade = true, true
	for len(value) > 0 {
		var member []byte
		member, value = cutMember(value)
		switch {
		case isH2C(member):
			h.seen.upgradeLess, h.seen.h2c = true, true
		case isProtocol(member):
			h.seen.upgradeOther = true
		case len(member) > 0:
			h.seen.upgradeLess = true
		}
	}
}

// teField notes whether trailers are welcome. Transfer codings, which TE also lists, end here: they are between neighbours.
func (h *Head) teField(value []byte) {
	h.seen.rewrite = true
	for len(value) > 0 {
		var member []byte
		member, value = cutMember(value)
		h.seen.teTrailers = h.seen.teTrailers || syntax.EqualFold(member, "trailers")
	}
}

// contentLength accepts a repeated field with the same value, of which one is forwarded (RFC 9110 section 8.6), and nothing
// but digits.
func (h *Head) contentLength(value []byte) error {
	n, ok := syntax.ParseLength(value)
	switch {
	case !ok:
		return ErrContentLength
	case h.seen.length && n != h.Length:
		return ErrLengthsDiffer
	case h.seen.length:
		h.seen.rewrite = true
	}
	h.seen.length, h.Length = true, n
	return nil
}

// connection takes in one Connection field: the options it knows, and the fields that it names (RFC 9110 section 7.6.1). In a
// response a member that is none is passed over, but such a connection is not used again.
func (h *Head) connection(line, value []byte, at int) error {
	base := at + len(line) - len(bytes.TrimLeft(line[len("connection:"):], " \t"))
	for i := 0; i <= len(value); {
		end := bytes.IndexByte(value[i:], ',')
		if end < 0 {
			end = len(value)
		} else {
			end += i
		}
		option := trim(value[i:end])
		lead := len(value[i:end]) - len(bytes.TrimLeft(value[i:end], " \t"))
		switch {
		case len(option) == 0:
		case syntax.IsToken(option):
			h.option(option, base+i+lead)
		case h.seen.response:
			h.seen.close = true
		default:
			return ErrConnectionList
		}
		i = end + 1
	}
	return nil
}

func (h *Head) option(option []byte, at int) {
	switch {
	case syntax.EqualFold(option, "te"):
	case syntax.EqualFold(option, "close"):
		h.seen.close = true
	case syntax.EqualFold(option, "keep-alive"):
		h.seen.keepAlive = true
	case syntax.EqualFold(option, "upgrade"):
		h.seen.upgradeOption = true
	default:
		h.named.add(span{uint32(at), uint32(at + len(option))})
	}
}

// body determines KeepAlive and the framing that the fields alone determine (RFC 9112 section 6.3).
func (h *Head) body() error {
	s := &h.seen
	h.KeepAlive = !s.close && (h.Minor == 1 || s.keepAlive)
	switch {
	case s.coding && s.length:
		return ErrLengthAndCoding
	case s.coding && h.Minor == 0:
		return ErrCodingVersion
	case s.coding:
		h.Framing = Chunked
	case h.Length > 0:
		h.Framing = ContentLength
	}
	return nil
}
