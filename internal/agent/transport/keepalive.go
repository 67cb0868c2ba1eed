package transport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// SetKeepAlive has a peer that is silent for idle asked whether it is still there, every interval, and the connection broken
// when as many probes as given stay unanswered. An idle of zero or less turns that off.
//
// The kernel asks only while everything that was sent has been acknowledged. TCP_USER_TIMEOUT would bound the rest too, but it
// also breaks a connection whose peer answers every probe and merely takes nothing (tcp(7): data may "remain unacknowledged, or
// buffered data may remain untransmitted (due to zero window size)"), and a server that reads late has done nothing wrong. What
// stays unacknowledged is therefore found by Silence, which goes by the same numbers: the socket's own.
func SetKeepAlive(c *net.TCPConn, idle, interval time.Duration, probes int) error {
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: idle > 0, Idle: idle, Interval: interval, Count: probes})
}

// silenceLimit is how long the peer of a descriptor may leave what was sent to it unacknowledged; negative: for ever.
func silenceLimit(fd int) time.Duration {
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

// Silence watches whether the peer of one connection still acknowledges what is sent to it. Its zero value is ready for use.
type Silence struct {
	limit time.Duration // negative: no limit; zero: not looked up yet
	since time.Time     // of the first look in this silence; zero: none
}

// Lasts looks at the connection and reports whether its peer has acknowledged nothing for as long as the connection's keep-alive
// would wait for a silent one, though something is on its way to it: its host or the path is gone. It has to be asked now and
// then, and a silence counts from the first time. An error of the descriptor is none.
func (s *Silence) Lasts(fd int, now time.Time) bool {
	if s.limit == 0 {
		s.limit = silenceLimit(fd)
	}
	if s.limit < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || !unanswered(info) {
		s.since = time.Time{}
		return false
	}
	heard := now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
	if s.since.IsZero() || heard.After(s.since) {
		s.since = now
	}
	return now.Sub(s.since) >= s.limit
}

// Limit is how long a silence may last, once Lasts was asked; zero or less: for ever.
func (s *Silence) Limit() time.Duration { return s.limit }

// unanswered says that a segment was sent again, or a closed window was probed more than once, and no acknowledgement has come
// since. A peer that only takes nothing more answers every probe, which sets their count to zero.
func unanswered(info *unix.TCPInfo) bool {
	return info.Unacked > 0 && info.Retransmits > 0 || info.Probes > 1
}
