package syntax

import (
	"bytes"
	"math"
)

// IsScheme says whether b, which is not empty, is the scheme of a URI (RFC 3986 section 3.1).
func IsScheme(b []byte) bool {
	for i, c := range b {
		l := c | 0x20
		letter := 'a' <= l && l <= 'z'
		if !letter && (i == 0 || !IsDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

// IsHost accepts nothing, and what can be uri-host [":" port] (RFC 9112 section 3.2): a name, an IPv4 address or an IPv6 address in
// brackets, and digits after the colon.
func IsHost(host []byte) bool {
	if len(host) == 0 {
		return true
	}
	rest := host
	if host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 2 {
			return false
		}
		for _, c := range host[1:end] {
			if !Token[c] && c != ':' {
				return false
			}
		}
		rest = host[end+1:]
	} else {
		i := 0
		for i < len(host) && host[i] != ':' {
			if !hostByte(host[i]) {
				return false
			}
			i++
		}
		rest = host[i:]
	}
	if len(rest) == 0 {
		return true
	}
	if rest[0] != ':' {
		return false
	}
	for _, c := range rest[1:] {
		if !IsDigit(c) {
			return false
		}
	}
	return len(rest) <= len(":65535")
}

// NamesPort says whether a valid host names something and then a port. RFC 9110 section 9.3.6: a server "MUST reject a CONNECT
// request that targets an empty or invalid port number".
func NamesPort(host []byte) bool {
	colon := bytes.LastIndexByte(host, ':')
	if colon <= 0 || host[colon-1] == ':' {
		return false
	}
	port, ok := ParseLength(host[colon+1:])
	return ok && 0 < port && port <= math.MaxUint16
}

// hostByte is reg-name of RFC 3986: unreserved, percent-encoded and sub-delims, but for the comma, which is how a list of two
// hosts looks.
func hostByte(c byte) bool {
	switch c {
	case '(', ')', ';', '=':
		return true
	case '^', '`', '|', '#':
		return false
	}
	return Token[c]
}
