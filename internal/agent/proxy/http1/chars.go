package http1

import "encoding/binary"

// token marks the bytes of RFC 9110's tchar.
var token = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return len(b) > 0
}

// equalFold compares a with lower, which is lower case ASCII.
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

func equalFoldBytes(a, b []byte) bool {
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

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// trim removes optional whitespace (RFC 9110 section 5.6.3) from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// cleanText reports whether b holds no control character but the horizontal tab: the field-content of RFC 9110 section 5.5 with
// obs-text. It looks at eight bytes at a time, since every byte of every header passes here.
func cleanText(b []byte) bool {
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		// A byte's high bit of (w - 0x20..) &^ w is set when the byte is below 0x20; of ((w ^ 0x7f..) - 0x01..) &^ (w ^ 0x7f..)
		// when it is 0x7f. Borrows make false alarms possible, never misses; the slow look decides.
		del := w ^ (ones * 0x7f)
		if ((w-ones*0x20)&^w|(del-ones)&^del)&highs != 0 && !cleanSlow(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanSlow(b)
}

func cleanSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
