package http1

import (
	"bytes"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

// cutMember returns the first member of a comma-separated list (RFC 9110 section 5.6.1) without the whitespace around it, and
// what follows it. Members may be empty. It is for fields whose members hold no quoted strings.
func cutMember(list []byte) (member, rest []byte) {
	comma := bytes.IndexByte(list, ',')
	if comma < 0 {
		return trim(list), nil
	}
	return trim(list[:comma]), list[comma+1:]
}

// isH2C reports whether a member of Upgrade offers HTTP/2, under its name (RFC 7540 section 3.2), the names of its drafts, or the
// way RFC 9110 section 7.8 writes it in an example.
func isH2C(member []byte) bool {
	name, version := member, []byte(nil)
	if slash := bytes.IndexByte(member, '/'); slash >= 0 {
		name, version = member[:slash], member[slash+1:]
	}
	switch {
	case syntax.EqualFold(name, "h2c"), len(name) > 4 && syntax.EqualFold(name[:4], "h2c-"):
		return true
	case syntax.EqualFold(name, "http"):
		return len(version) > 0 && version[0] == '2'
	}
	return false
}

// isProtocol reports whether a member of Upgrade is protocol-name ["/" protocol-version] (RFC 9110 section 7.8).
func isProtocol(member []byte) bool {
	if slash := bytes.IndexByte(member, '/'); slash >= 0 {
		return syntax.IsToken(member[:slash]) && syntax.IsToken(member[slash+1:])
	}
	return syntax.IsToken(member)
}
