package grpc

import (
	"strconv"
	"time"
)

const (
	// mostDigits is how many digits a timeout has at most, and mostUnits the largest number that they make.
	mostDigits = 8
	mostUnits  = 99_999_999
	// longest bounds what a client can ask for. Nothing waits for so long, and times that far ahead can still be calculated with.
	longest = 100 * 365 * 24 * time.Hour
)

// units are those of timeouts, the shortest first: TimeoutUnit → Hour / Minute / Second / Millisecond / Microsecond / Nanosecond.
var units = [...]struct {
	letter byte
	is     time.Duration
}{
	{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour},
}

// Timeout returns the time that a grpc-timeout leaves the call; 0 if the value is not valid and so bounds nothing here. What has run out
// already leaves the shortest time there is.
func Timeout(value []byte) time.Duration {
	if len(value) < 2 || len(value) > mostDigits+1 {
		return 0
	}
	n := time.Duration(0)
	for _, c := range value[:len(value)-1] {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + time.Duration(c-'0')
	}
	for _, u := range units {
		if u.letter == value[len(value)-1] {
			return max(min(n, longest/u.is)*u.is, 1)
		}
	}
	return 0
}

// AppendTimeout appends the grpc-timeout of a call that has some time left. It says no more than that, in the shortest unit that can say it,
// and no less than the shortest time there is: a timeout is a positive number.
func AppendTimeout(dst []byte, left time.Duration) []byte {
	left = max(left, 1)
	u := units[0]
	for _, longer := range units[1:] {
		if left/u.is <= mostUnits {
			break
		}
		u = longer
	}
	return append(strconv.AppendInt(dst, int64(left/u.is), 10), u.letter)
}
