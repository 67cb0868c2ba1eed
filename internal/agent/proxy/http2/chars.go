package http2

import (
	"encoding/binary"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// validName accepts a token without upper case letters (RFC 9113 section 8.2.1), and the colon in front of a pseudo-header.
func validName(name []byte) bool {
	if len(name) > 1 && name[0] == ':' {
		name = name[1:]
	}
	for _, c := range name {
		if !syntax.Token[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return len(name) > 0
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// validPath accepts an absolute path with a query, or the asterisk of OPTIONS (RFC 9113 section 8.3.1). Bytes above ASCII are let
// through, as most servers do.
func validPath(path, method []byte) bool {
	for _, c := range path {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(path) > 0 && (path[0] == '/' || len(path) == 1 && path[0] == '*' && string(method) == "OPTIONS")
}

func validScheme(s []byte) bool { return len(s) > 0 && syntax.IsScheme(s) }

// validHost: neither :authority nor host may be empty for the schemes that there are, and user information has no place in it
// (RFC 9113 section 8.3.1).
func validHost(host []byte) bool { return len(host) > 0 && host[0] != ':' && syntax.IsHost(host) }
