package http2

import "bytes"

// validScheme is RFC 3986 section 3.1.
func validScheme(s []byte) bool {
	return all(s, inScheme) && (s[0]|0x20) >= 'a'
}

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

// validHost accepts uri-host [":" port] (RFC 9110 section 7.2): a name, an IPv4 address or an IPv6 address in brackets, and digits
// behind the colon. User information has no place in it (RFC 9113 section 8.3.1).
func validHost(host []byte) bool {
	var rest []byte
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 2 {
			return false
		}
		for _, c := range host[1:end] {
			if chars[c]&inToken == 0 && c != ':' {
				return false
			}
		}
		rest = host[end+1:]
	} else {
		i := 0
		for i < len(host) && chars[host[i]]&inHost != 0 {
			i++
		}
		if i == 0 {
			return false
		}
		rest = host[i:]
	}
	return len(rest) == 0 || rest[0] == ':' && len(rest) <= len(":65535") && digits(rest[1:])
}

// namesPort says whether a valid host ends with a port: what CONNECT is for (RFC 9110 section 9.3.6).
func namesPort(host []byte) bool {
	colon := bytes.LastIndexByte(host, ':')
	if colon <= 0 || host[0] == '[' && host[colon-1] != ']' {
		return false
	}
	port, ok := parseLength(host[colon+1:])
	return ok && 0 < port && port < 1<<16
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// sameHost compares without regard to case.
func sameHost(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lowerASCII(c) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}
