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

// ackWatch watches whether the peer of one connection still acknowledges what is sent to it. Its zero value is ready for use.
type ackWatch struct {
	limit time.Duration // negative: no limit; zero: not looked up yet
	since Instant       // of the first look that found something unacknowledged; zero: none has
}

// ackLimit is how long the peer of a descriptor may leave what was sent to it unacknowledged; negative: for ever.
func ackLimit(fd int) time.Duration {
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on == 0 {
		return -1
	}
	var seconds [3]int
	for i, option := range [...]int{keepIdle, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
		n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option)
		if err != nil {
			return -1
		}
		seconds[i] = n
	}
	return time.Duration(seconds[0]+seconds[1]*seconds[2]) * time.Second
}
