package syntax

import "encoding/binary"

// Token marks the bytes of RFC 9110's tchar.
var Token = func() (t [256]bool) {
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

// IsToken says whether b is a token (RFC 9110 section 5.6.2).
func IsToken(b []byte) bool {
	for _, c := range b {
		if !Token[c] {
			return false
		}
	}
	return len(b) > 0
}

// EqualFold compares a without regard to case with lower, which is ASCII in lower case.
func EqualFold(a []byte, lower string) bool {
	if len(a) != len(lower) {
		return false
	}
	for i, c := range a {
		if Lower(c) != lower[i] {
			return false
		}
	}
	return true
}

// EqualFoldBytes compares without regard to the case of ASCII letters.
func EqualFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if Lower(c) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// Lower is c in lower case.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Clean says whether b holds no control character but the horizontal tab: the field-content of RFC 9110 section 5.5 with
// obs-text. It looks at eight bytes at a time, since every byte of every header passes here.
func Clean(b []byte) bool {
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
