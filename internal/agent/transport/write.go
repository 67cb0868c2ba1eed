package transport

import "time"

// ServeWrites calls step until it returns true, each time that the connection may have become ready to take bytes. step writes with
// TryWrite. It returns os.ErrDeadlineExceeded when until (zero: never) has passed before, and ErrInterrupted after StopWriting. It
// may be used by one goroutine while another one reads.
func (c *Conn) ServeWrites(step func(fd uintptr) (done bool), until time.Time) error {
	if err := c.tcp.SetWriteDeadline(until); err != nil {
		return cause(err)
	}
	if c.unwritable.Load() { // StopWriting came in between and its deadline was overwritten
		return ErrInterrupted
	}
	err := c.raw.Write(step)
	switch {
	case err == nil && until.IsZero():
		return nil
	case c.unwritable.Load():
		return ErrInterrupted
	case !until.IsZero():
		_ = c.tcp.SetWriteDeadline(time.Time{}) // fails only when the connection is closed already
	}
	if err != nil {
		return cause(err)
	}
	return nil
}

// StopWriting makes the wait of ServeWrites under way and all later ones end with ErrInterrupted. It may be called from any
// goroutine; nothing can be written with ServeWrites after it.
func (c *Conn) StopWriting() {
	c.unwritable.Store(true)
	_ = c.tcp.SetWriteDeadline(time.Unix(1, 0)) // fails only when the connection is closed already
}

// Expired must be called when a read past this package, by way of TCP, was ended by a deadline: it may have been that of a nudge,
// which the next Arm would not know of.
func (c *Conn) Expired() {
	c.nudged.Store(false)
	c.armed = time.Unix(1, 0)
}
