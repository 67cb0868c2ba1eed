package flows

import (
	"net/netip"
	"strconv"
)

// maxHost is the longest host that is counted by its name; DNS has none that is longer.
const maxHost = 253

// appendHost appends a host that a client has given, in lower case and without port and final dot. It reports false for what is no host name: what
// pods write must not become what people read, and an address is known already.
func appendHost(to, host []byte) ([]byte, bool) {
	end := len(host)
	for i, c := range host {
		if c == ':' {
			end = i
			break
		}
	}
	host = host[:end]
	if len(host) > 0 && host[len(host)-1] == '.' {
		host = host[:len(host)-1]
	}
	if len(host) == 0 || len(host) > maxHost {
		return to, false
	}
	begin, letter := len(to), false
	for _, c := range host {
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
			letter = true
		case c >= 'a' && c <= 'z':
			letter = true
		case c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return to[:begin], false
		}
		to = append(to, c)
	}
	if !letter {
		if _, err := netip.ParseAddr(string(to[begin:])); err == nil {
			return to[:begin], false
		}
	}
	return to, true
}

func appendPort(to []byte, port uint16) []byte {
	return strconv.AppendUint(append(to, ':'), uint64(port), 10)
}
