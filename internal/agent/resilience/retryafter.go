package resilience

import (
	"bytes"
	"time"
)

// maxRetryAfterSeconds bounds what is read from the network: a year.
const maxRetryAfterSeconds = 365 * 24 * 3600

// RetryAfter reads a Retry-After field value (RFC 9110 section 10.2.3: an HTTP-date or a number of seconds) and returns the
// delay it asks for at now. A date in the past is a delay of zero. Values beyond a year are read as a year.
func RetryAfter(value []byte, now time.Time) (time.Duration, bool) {
	value = bytes.Trim(value, " \t")
	if len(value) == 0 {
		return 0, false
	}
	if isDigit(value[0]) {
		return retryAfterSeconds(value)
	}
	date, ok := httpDate(value, now)
	if !ok {
		return 0, false
	}
	// Both sides in whole seconds: now is rounded down, so the wait is never shorter than asked for.
	d := min(date-now.Unix(), maxRetryAfterSeconds)
	return time.Duration(max(d, 0)) * time.Second, true
}

func retryAfterSeconds(value []byte) (time.Duration, bool) {
	n := 0
	for _, c := range value {
		if !isDigit(c) {
			return 0, false
		}
		n = min(n*10+int(c-'0'), maxRetryAfterSeconds)
	}
	return time.Duration(n) * time.Second, true
}
