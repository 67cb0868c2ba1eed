package transport

// Unread reports whether bytes wait to be read. Unlike Peek it leaves an error of the connection for those who read.
func (c *Conn) Unread() bool {
	n := 0
	_ = c.raw.Control(func(fd uintptr) { n, _ = queued(int(fd)) }) // fails when closed
	return n > 0
}
