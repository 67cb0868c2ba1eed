package syntax

import (
	"testing"
)

func TestCleanTextFindsEveryControlCharacter(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 16, 19} {
		for at := range size {
			for c := range 256 {
				for _, filler := range []byte{'a', ' ', '\t', 0x80, 0xff, '~'} {
					b := make([]byte, size)
					for i := range b {
						b[i] = filler
					}
					b[at] = byte(c)
					want := c == '\t' || c >= ' ' && c != 0x7f
					if got := Clean(b); got != want {
						t.Fatalf("%q: got %v", b, got)
					}
				}
			}
		}
	}
}

func TestTokens(t *testing.T) {
	const tchar = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // RFC 9110 section 5.6.2
	count := 0
	for c := range 256 {
		if IsToken([]byte{byte(c)}) {
			count++
		}
	}
	if count != len(tchar) || !IsToken([]byte(tchar)) || IsToken(nil) {
		t.Errorf("%d token characters, want %d", count, len(tchar))
	}
}
