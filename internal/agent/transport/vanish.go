package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// PeerVanished reports whether the peer has acknowledged nothing for as long as the connection's keep-alive would wait for a silent
// one, though something is on its way to it: its host or the path is gone. It has to be asked now and then, every quarter of within at
// most; the time counts from the first time that finds something unacknowledged. within is that time; zero or less: for ever.
func (c *Conn) PeerVanished(now time.Time) (vanished bool, within time.Duration) {
	_ = c.raw.Control(func(fd uintptr) { vanished = c.acks.overdue(int(fd), now) }) // fails when closed
	return vanished, c.acks.limit
}

// LastData is how long ago data was last received or sent, going by the kernel; ok is false when the connection has ended.
func (c *Conn) LastData() (ago time.Duration, ok bool) {
	_ = c.raw.Control(func(fd uintptr) { // fails when closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			ago, ok = time.Duration(min(info.Last_data_recv, info.Last_data_sent))*time.Millisecond, true
		}
	})
	return ago, ok
}

// ackWatch watches whether the peer of one connection still acknowledges what is sent to it. Its zero value is ready for use.
type ackWatch struct {
	limit time.Duration // negative: no limit; zero: not looked up yet
	since Instant       // of the first look that found something unacknowledged; zero: none has
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

// ackLimit is how long the peer of a descriptor may leave what was sent to it unacknowledged; negative: for ever.
func ackLimit(fd int) time.Duration {
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on == 0 {
		return -1
	}
	var seconds [3]int
	for i, option := range [...]int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
		n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option)
		if err != nil {
			return -1
		}
		seconds[i] = n
	}
	return time.Duration(seconds[0]+seconds[1]*seconds[2]) * time.Second
}

// unacknowledged says that a segment was sent again, or a closed window was probed more than once, and no acknowledgement has come
// since. A peer that only takes nothing more answers every probe, which sets their count to zero.
func unacknowledged(info *unix.TCPInfo) bool {
	return info.Unacked > 0 && info.Retransmits > 0 || info.Probes > 1
}
