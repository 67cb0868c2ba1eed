package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// KeepAlive has the kernel probe a peer that is silent for Idle, every Interval, and break the connection when as many
// Probes stay unanswered. An Idle of zero or less turns that off; what else is zero or less is left to the system.
//
// The kernel probes only while everything that was sent has been acknowledged. TCP_USER_TIMEOUT would bound the rest too, but it
// also breaks a connection whose peer answers every probe and merely takes nothing (tcp(7): data may "remain unacknowledged, or
// buffered data may remain untransmitted (due to zero window size)"), and a server that reads late has done nothing wrong. What
// stays unacknowledged is therefore found by PeerVanished, which goes by the same numbers: the socket's own.
type KeepAlive struct {
	Idle, Interval time.Duration
	Probes         int
}

// SetKeepAlive puts k in force.
func (c *Conn) SetKeepAlive(k KeepAlive) error {
	var inner error
	if err := c.raw.Control(func(fd uintptr) { inner = k.set(int(fd)) }); err != nil {
		return cause(err)
	}
	return inner
}

func (k KeepAlive) set(fd int) error {
	if k.Idle <= 0 {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	for _, option := range [...]struct{ name, value int }{
		{keepIdle, seconds(k.Idle)}, {unix.TCP_KEEPINTVL, seconds(k.Interval)}, {unix.TCP_KEEPCNT, k.Probes},
	} {
		if option.value <= 0 {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option.name, option.value); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

// seconds rounds up, as package net does.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
