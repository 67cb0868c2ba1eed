package resilience

import (
	"bytes"
	"time"
)

// Header is the head of a response.
type Header interface {
	// Header returns the value of the first field with a name, given in lower case, that is not empty.
	Header(lower string) (value []byte, ok bool)
}

// Wish is after how long a server wants to be asked again.
type Wish struct {
	After time.Duration
	// OfLimit: it is when a limit starts anew. That asks for no retry, but one that comes sooner is in vain.
	OfLimit bool
}

// ReadWish reads the wish of a response that reports a failure; ok is false if it has none. Of several fields the most exact one counts:
// retry-after-ms, else Retry-After, else x-ratelimit-reset, which many servers send with every response: limited says that it was the limit
// that this one failed by.
func ReadWish(h Header, limited bool, now time.Time) (w Wish, ok bool) {
	if v, has := h.Header("retry-after-ms"); has {
		if w.After, ok = RetryAfterMillis(v); ok {
			return w, true
		}
	}
	if v, has := h.Header("retry-after"); has {
		if w.After, ok = RetryAfter(v, now); ok {
			return w, true
		}
	}
	if !limited {
		return w, false
	}
	if v, has := h.Header("x-ratelimit-reset"); has {
		w.After, w.OfLimit = 0, true
		if w.After, ok = RateLimitReset(v, now); ok {
			return w, true
		}
	}
	return Wish{}, false
}

// RetryAfterMillis reads the value of retry-after-ms, a number of milliseconds. A fraction is rounded up. Values beyond a year are read as a
// year.
func RetryAfterMillis(value []byte) (time.Duration, bool) {
	return decimal(value, time.Millisecond, maxRetryAfterSeconds*1000)
}

const (
	// leastEpoch is the smallest x-ratelimit-reset that is taken for a time since 1970, in seconds: as a wait it would be of 31 years.
	leastEpoch = 1_000_000_000
	// leastEpochMillis is the smallest that is taken for one in milliseconds: as seconds it would be in the year 5138.
	leastEpochMillis = 100 * leastEpoch
	// mostEpochMillis is the greatest that is distinguished from greater ones, in the year 33658.
	mostEpochMillis = 10_000 * leastEpochMillis
)

// RateLimitReset reads the value of x-ratelimit-reset, for which there is no standard: a number of seconds, or a time in seconds or
// milliseconds since 1970. It returns the delay that it asks for at now; a time in the past is a delay of zero. A fraction is rounded up.
// Values beyond a year are read as a year.
func RateLimitReset(value []byte, now time.Time) (time.Duration, bool) {
	n, fraction, ok := number(value, mostEpochMillis)
	if !ok {
		return 0, false
	}
	if fraction {
		n++
	}
	most := int64(maxRetryAfterSeconds)
	switch {
	case n < leastEpoch:
		return time.Duration(min(n, most)) * time.Second, true
	case n < leastEpochMillis:
		n -= now.Unix() // rounded down, so the wait is never shorter than asked for
		return time.Duration(min(max(n, 0), most)) * time.Second, true
	}
	n -= now.UnixMilli()
	return time.Duration(min(max(n, 0), 1000*most)) * time.Millisecond, true
}

// decimal reads a number of units, rounded up and at most so many.
func decimal(value []byte, unit time.Duration, most int64) (time.Duration, bool) {
	n, fraction, ok := number(value, most)
	if !ok {
		return 0, false
	}
	if fraction {
		n = min(n+1, most)
	}
	return time.Duration(n) * unit, true
}

// number reads digits, which may be followed by a point and more digits: fraction says that one of those is not zero. Numbers above most are
// read as most.
func number(value []byte, most int64) (n int64, fraction, ok bool) {
	whole, rest, pointed := bytes.Cut(bytes.Trim(value, " \t"), []byte("."))
	if len(whole) == 0 || pointed && len(rest) == 0 {
		return 0, false, false
	}
	for _, c := range whole {
		if !isDigit(c) {
			return 0, false, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	for _, c := range rest {
		if !isDigit(c) {
			return 0, false, false
		}
		fraction = fraction || c != '0'
	}
	return n, fraction, true
}
