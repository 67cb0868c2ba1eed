//go:build !linux

package transport

import "time"

// LastData is how long ago data was last received or sent; ok is false when the connection has ended. The kernel does not say here, so that a
// connection that is open counts as in use, and is never found idle.
func (c *Conn) LastData() (ago time.Duration, ok bool) {
	return 0, c.raw.Control(func(uintptr) {}) == nil
}

// overdue looks at the connection. What is not acknowledged here the kernel itself gives up, in its own time.
func (a *ackWatch) overdue(int, time.Time) bool {
	a.limit = -1
	return false
}
