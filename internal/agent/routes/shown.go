package routes

import "bytes"

// ShownPath returns what of a request target may be shown to people, in logs, spans and live data: its path, in any of the target's forms (RFC 9112 section
// 3.2). Query, fragment and user information hold secrets, also in targets that no server should be sent, and are not among it. Of CONNECT it is host and
// port. It allocates nothing.
func ShownPath(target []byte) []byte {
	path := PathOf(target)
	if len(path) > 0 && path[0] != '/' {
		return ShownHost(path)
	}
	return path
}

// ShownHost returns what of a Host field or an :authority may be shown to people: without user information, which RFC 9110 section 4.2.4 forbids there. It
// allocates nothing.
func ShownHost(host []byte) []byte { return host[bytes.LastIndexByte(host, '@')+1:] }
