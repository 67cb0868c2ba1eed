package http2

import "fairlead.dev/fairlead/internal/agent/proxy/syntax"

// checkRequest checks the header block of a request as a whole (RFC 9113 sections 8.2, 8.3 and 8.5).
func (b *Block) checkRequest(extended bool) error {
	connect := string(b.value(kMethod)) == "CONNECT"
	switch {
	case b.fault != nil:
		return b.fault
	case b.blank:
		return ErrFieldValue
	case b.has(kStatus):
		return ErrPseudoUnknown
	case b.has(kProtocol) && (!connect || !extended):
		return ErrConnectProtocol
	case !b.has(kMethod):
		return ErrPseudoMissing
	case !syntax.IsToken(b.value(kMethod)):
		return ErrPseudoValue
	}
	if err := b.checkHost(); err != nil {
		return err
	}
	if connect && !b.has(kProtocol) {
		return b.checkConnect()
	}
	switch {
	case !b.has(kScheme), !b.has(kPath):
		return ErrPseudoMissing
	case !validScheme(b.value(kScheme)), !validPath(b.value(kPath), b.value(kMethod)),
		b.has(kProtocol) && !syntax.IsToken(b.value(kProtocol)):
		return ErrPseudoValue
	}
	return nil
}

// checkHost: a request names where it is to go, once. RFC 9113 section 8.3.1 has a host that differs from the authority taken as
// malformed; a server behind us might go by the other one than we.
func (b *Block) checkHost() error {
	switch {
	case !b.has(kAuthority) && !b.has(kHost):
		return ErrPseudoMissing
	case b.has(kAuthority) && b.has(kHost) && !syntax.EqualFoldBytes(b.value(kAuthority), b.value(kHost)):
		return ErrHostsDiffer
	case !validHost(b.Host()):
		return ErrPseudoValue
	}
	return nil
}

// checkConnect is RFC 9113 section 8.5: neither scheme nor path, and an authority with a port.
func (b *Block) checkConnect() error {
	switch {
	case b.has(kScheme), b.has(kPath):
		return ErrPseudoUnknown
	case !b.has(kAuthority):
		return ErrPseudoMissing
	case !syntax.NamesPort(b.value(kAuthority)):
		return ErrPseudoValue
	}
	return nil
}

// checkResponse checks the header block of a response as a whole (RFC 9113 section 8.3.2).
func (b *Block) checkResponse() error {
	switch {
	case b.fault != nil:
		return b.fault
	case b.hasRequestPseudo():
		return ErrPseudoUnknown
	case !b.has(kStatus):
		return ErrPseudoMissing
	case b.Status() < 100:
		return ErrPseudoValue
	case b.Status() == 101:
		// RFC 9113 section 8.6: HTTP/2 has no Upgrade and no 101.
		return ErrSwitch
	}
	if b.blank {
		b.trim()
	}
	return nil
}

func (b *Block) hasRequestPseudo() bool {
	return b.has(kMethod) || b.has(kScheme) || b.has(kAuthority) || b.has(kPath) || b.has(kProtocol)
}

// checkTrailers: RFC 9113 section 8.1: "Trailers MUST NOT include pseudo-header fields".
func (b *Block) checkTrailers() error {
	switch {
	case b.fault != nil:
		return b.fault
	case b.hasRequestPseudo(), b.has(kStatus):
		return ErrTrailers
	}
	return nil
}
