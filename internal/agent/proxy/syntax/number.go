package syntax

import "math"

// IsDigit says whether c is a decimal digit.
func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

// ParseLength reads a content length: digits alone, and none that an int64 does not hold (RFC 9110 section 8.6).
func ParseLength(value []byte) (n int64, ok bool) {
	for _, c := range value {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(value) > 0
}
