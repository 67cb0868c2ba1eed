package transport

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrWouldBlock is returned by TryRead when nothing has arrived.
var ErrWouldBlock error = unix.EAGAIN

// TryRead reads what has arrived, without waiting. Fewer bytes than p has room for are all there were; none at all is ErrWouldBlock. It
// returns io.EOF at the end, and a syscall.Errno when the connection broke.
func (c *Conn) TryRead(p []byte) (int, error) {
	if l := c.layer.Load(); l != nil {
		return (*l).TryRead(p)
	}
	return recv(c.fd, p)
}

// Read reads what is there into p, waiting no longer than until (zero: for ever). It returns os.ErrDeadlineExceeded when until
// has passed and nothing is there, and otherwise the errors of TryRead: syscall.ETIMEDOUT also when what was sent stays
// unacknowledged for too long (see PeerVanished), which shows to reads and writes whose time is up now and then. now need not be
// exact.
func (c *Conn) Read(p []byte, now, until time.Time) (int, error) {
	n, _, err := c.WriteThenRead(nil, p, At(now), At(until))
	return n, err
}

// WriteThenRead calls before, which writes to the connection, and then waits for the answer and reads it as Read does. Bytes that
// arrived earlier may be overlooked until more arrive, so there must be none: the peer speaks when spoken to. An error of before
// is returned as it is, and nothing is read. before must not read. called is false when the time was up, or the connection
// unusable, before its turn came.
func (c *Conn) WriteThenRead(before func() error, p []byte, now, until Instant) (n int, called bool, err error) {
	c.before, c.in = before, p
	err = c.wait(c.step, now, until)
	called = c.before == nil
	c.before, c.in = nil, nil
	late := err != nil && errors.Is(err, os.ErrDeadlineExceeded)
	if c.turn != nil && (err == nil || late) { // what is done when a time is up is work, too, and the times of many may be up together
		c.turn()
	}
	switch {
	case err == nil:
		return c.n, called, c.err
	case called && late:
		// On a busy machine the bytes may have come in time though this goroutine ran late.
		if n, err := c.TryRead(p); err != ErrWouldBlock { //nolint:errorlint // TryRead returns it bare
			return n, called, err
		}
	}
	return 0, called, err
}

// Serve calls step whenever the connection may have become readable, the first time at once, until it returns true. step reads with
// TryRead and may write, but must not call the other reading methods. Nothing is lost that arrives while step runs, provided that
// it returns false only after a TryRead that found nothing. Less than there was room for is not enough: the peer's end may have come with what
// was read. Serve returns early with os.ErrDeadlineExceeded as Read does, or with ErrInterrupted.
func (c *Conn) Serve(step func(fd uintptr) (done bool), now, until time.Time) error {
	return c.wait(step, At(now), At(until))
}

// AwaitReadable waits until there is something to read, or the peer has closed.
func (c *Conn) AwaitReadable() error {
	if !c.Plain() {
		return c.wait(func(uintptr) bool { return c.Peek() != Quiet }, 0, 0)
	}
	return c.wait(func(fd uintptr) bool { return poll(int(fd), unix.POLLIN) != 0 }, 0, 0)
}

// receive runs inside RawConn.Read, after the runtime has forgotten earlier readiness: whatever arrives from here on wakes the
// wait that follows a false return.
func (c *Conn) receive(uintptr) bool {
	if before := c.before; before != nil {
		c.before = nil
		c.n, c.err = 0, before()
		return c.err != nil
	}
	c.n, c.err = c.TryRead(c.in)
	return c.err != ErrWouldBlock //nolint:errorlint // TryRead returns it bare, and this is every read's path
}
