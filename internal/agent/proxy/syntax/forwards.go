package syntax

import "bytes"

// IsDigits says whether b is a decimal number without a sign.
func IsDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// NoForwards says whether the value of a Max-Forwards field is zero: the request must not be forwarded any more (RFC 9110 section 7.6.2).
func NoForwards(value []byte) bool { return IsDigits(value) && len(bytes.Trim(value, "0")) == 0 }

// AppendLess appends the decimal number one less than value, whatever its size, and anything else as it is.
func AppendLess(dst, value []byte) []byte {
	at := len(dst)
	dst = append(dst, value...)
	number := dst[at:]
	if !IsDigits(number) || NoForwards(number) {
		return dst
	}
	i := len(number) - 1
	for ; number[i] == '0'; i-- {
		number[i] = '9'
	}
	number[i]--
	if i == 0 && number[0] == '0' && len(number) > 1 {
		dst = append(dst[:at], number[1:]...)
	}
	return dst
}

// Sensitive says whether a field's name sounds as if its value were secret: the answer to TRACE leaves it out (RFC 9110 section 9.3.8).
func Sensitive(name []byte) bool {
	lower := bytes.ToLower(name)
	for _, part := range [...]string{"auth", "cookie", "token", "secret", "key", "password", "credential", "session", "cert"} {
		if bytes.Contains(lower, []byte(part)) {
			return true
		}
	}
	return false
}
