package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// LastData is how long ago data was last received or sent, going by the kernel; ok is false when the connection has ended.
func (c *Conn) LastData() (ago time.Duration, ok bool) {
	_ = c.raw.Control(func(fd uintptr) { // fails when closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			ago, ok = time.Duration(min(info.Last_data_recv, info.Last_data_sent))*time.Millisecond, true
		}
	})
	return ago, ok
}

// overdue looks at the connection. An error of the descriptor is no sign of anything.
func (a *ackWatch) overdue(fd int, now time.Time) bool {
	if a.limit == 0 {
		a.limit = ackLimit(fd)
	}
	if a.limit < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || !unacknowledged(info) {
		a.since = 0
		return false
	}
	heard := At(now) - Instant(info.Last_ack_recv)*Instant(time.Millisecond)
	if a.since == 0 || heard > a.since {
		a.since = At(now)
	}
	return time.Duration(At(now)-a.since) >= a.limit
}

// unacknowledged says that a segment was sent again, or a closed window was probed more than once, and no acknowledgement has come
// since. A peer that only takes nothing more answers every probe, which sets their count to zero.
func unacknowledged(info *unix.TCPInfo) bool {
	return info.Unacked > 0 && info.Retransmits > 0 || info.Probes > 1
}
