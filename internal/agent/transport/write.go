package transport

import (
	"io"
	"time"
)

var _ io.Writer = (*Conn)(nil)

// TryWrite writes what the peer's side takes at once, which may be nothing. The bytes that it does not report as written must be what
// the next TryWrite begins with: a security layer may have sealed them already, and sent a part of that.
func (c *Conn) TryWrite(p []byte) (int, error) {
	if l := c.layer.Load(); l != nil {
		return (*l).TryWrite(p)
	}
	return send(c.fd, p)
}

// Write implements io.Writer. It waits until the peer's side has taken all of p, or until the time of SetWriteDeadline. Where others may
// close the connection it is for use inside Pin.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.TryWrite(p)
	if err != nil || n == len(p) {
		return n, err
	}
	return c.writeRest(p, n)
}

func (c *Conn) writeRest(p []byte, n int) (int, error) {
	var failed error
	err := c.raw.Write(func(uintptr) bool {
		var more int
		more, failed = c.TryWrite(p[n:])
		n += more
		return failed != nil || n == len(p)
	})
	if err != nil {
		return n, cause(err)
	}
	return n, failed
}

// SetWriteDeadline bounds Write and a Mover's writes; zero: not at all. ServeWrites lifts it.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if err := c.socket.SetWriteDeadline(t); err != nil {
		return cause(err)
	}
	return nil
}

// ServeWrites calls step until it returns true, each time that the connection may have become ready to take bytes. step writes with
// TryWrite. It returns os.ErrDeadlineExceeded when until (zero: never) has passed before, and ErrInterrupted after StopWriting. It
// may be used by one goroutine while another one reads.
func (c *Conn) ServeWrites(step func(fd uintptr) (done bool), until time.Time) error {
	if err := c.SetWriteDeadline(until); err != nil {
		return err
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
		_ = c.socket.SetWriteDeadline(time.Time{}) // fails only when the connection is closed already
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
	_ = c.socket.SetWriteDeadline(past) // fails only when the connection is closed already
}
