package socket

import (
	"net"
	"time"
)

// SetKeepAlive has a peer that is silent for idle asked whether it is still there, every interval, and the connection broken
// when as many probes as given stay unanswered. An idle of zero or less turns that off.
func SetKeepAlive(c *net.TCPConn, idle, interval time.Duration, probes int) error {
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: idle > 0, Idle: idle, Interval: interval, Count: probes})
}
