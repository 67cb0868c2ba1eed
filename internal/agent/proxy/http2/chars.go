package http2

import "encoding/binary"

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

const (
	inToken = 1 << iota // tchar of RFC 9110
	inName              // tchar without upper case letters (RFC 9113 section 8.2)
	inHost              // reg-name of RFC 3986 without the comma, which is how a list of two hosts looks
	inScheme
)

// chars says what each byte may be part of.
var chars = func() (t [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		t[c] = inToken | inName | inHost | inScheme
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = inToken | inName | inHost | inScheme
		t[c-'a'+'A'] = inToken | inHost | inScheme
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= inToken | inName
	}
	for _, c := range "!$%&'*+-._~();=" {
		t[c] |= inHost
	}
	for _, c := range "+-." {
		t[c] |= inScheme
	}
	return t
}()

func all(b []byte, class uint8) bool {
	for _, c := range b {
		if chars[c]&class == 0 {
			return false
		}
	}
	return len(b) > 0
}

// validName accepts a token in lower case, and the colon in front of a pseudo-header.
func validName(name []byte) bool {
	if len(name) > 1 && name[0] == ':' {
		name = name[1:]
	}
	return all(name, inName)
}

// clean accepts what RFC 9110 section 5.5 calls field-content, white space at its ends included: no control character but the tab. It
// looks at eight bytes at a time.
func clean(v []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(v) >= 8; v = v[8:] {
		w := le64(v)
		del := w ^ ones*0x7f
		// Borrows make false alarms possible, never misses; the slow look decides.
		if ((w-ones*0x20)&^w|(del-ones)&^del)&highs != 0 && !cleanSlow(v[:8]) {
			return false
		}
	}
	return cleanSlow(v)
}

func cleanSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// equalFold compares a with lower, which is ASCII in lower case.
func equalFold(a []byte, lower string) bool {
	if len(a) != len(lower) {
		return false
	}
	for i, c := range a {
		if lowerASCII(c) != lower[i] {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func parseLength(v []byte) (n int64, ok bool) {
	const most = (1<<63 - 1 - 9) / 10
	for _, c := range v {
		if c < '0' || c > '9' || n > most {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(v) > 0
}
