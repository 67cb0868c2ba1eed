package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInterrupted is returned by reads of a Conn on which Interrupt was called.
var ErrInterrupted = errors.New("socket: interrupted")

// Conn is a TCP connection driven by one goroutine at a time. Only Interrupt may be called by another one. Its driver is the
// only one to close it, which is what makes the use of the bare descriptor safe.
type Conn struct {
	tcp *net.TCPConn
	raw syscall.RawConn
	fd  int

	// scratch of the call under way, for the callback below
	out  []byte
	in   []byte
	n    int
	sent int
	err  error
	// step is receive, bound once so that reads do not allocate.
	step func(fd uintptr) bool

	armed       time.Time // the read deadline the runtime knows; zero: none
	interrupted flag
}

// New takes ownership of tcp.
func New(tcp *net.TCPConn) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{tcp: tcp, raw: raw}
	c.step = c.receive
	if err := raw.Control(func(fd uintptr) { c.fd = int(fd) }); err != nil {
		return nil, err
	}
	return c, nil
}

// TCP returns the connection itself, for what this package does not do. Deadlines set on it must be cleared again.
func (c *Conn) TCP() *net.TCPConn { return c.tcp }

// Close closes the connection.
func (c *Conn) Close() error { return c.tcp.Close() }

// Reset closes the connection with a reset, so that the peer cannot take it for a regular end.
func (c *Conn) Reset() {
	_ = c.tcp.SetLinger(0) // on failure it is closed all the same
	c.tcp.Close()
}

// Interrupt makes the read under way and all later ones return ErrInterrupted. It may be called from any goroutine.
func (c *Conn) Interrupt() {
	c.interrupted.set()
	_ = c.tcp.SetReadDeadline(time.Unix(1, 0)) // fails only when the connection is closed already
}

// Interrupted reports whether Interrupt was called.
func (c *Conn) Interrupted() bool { return c.interrupted.isSet() }

// Read reads what is there into p, waiting no longer than until (zero: for ever). It returns os.ErrDeadlineExceeded when until
// has passed, io.EOF at the end, and a syscall.Errno when the connection broke.
func (c *Conn) Read(p []byte, now, until time.Time) (int, error) {
	_, n, err := c.exchange(nil, p, now, until)
	return n, err
}

// WriteRead writes out and then reads into in as Read does. sent counts the bytes of out that the kernel accepted. When the
// kernel cannot take all of out at once, it returns ErrShort with sent < len(out) and reads nothing; Write sends the rest.
func (c *Conn) WriteRead(out, in []byte, now, until time.Time) (sent, n int, err error) {
	return c.exchange(out, in, now, until)
}

// ErrShort is returned by WriteRead when the send buffer is full.
var ErrShort = errors.New("socket: short write")

func (c *Conn) exchange(out, in []byte, now, until time.Time) (int, int, error) {
	c.out, c.in, c.n, c.sent, c.err = out, in, 0, 0, nil
	for {
		if err := c.arm(now, until); err != nil {
			return c.sent, 0, err
		}
		err := c.raw.Read(c.step)
		if err == nil {
			c.out, c.in = nil, nil
			return c.sent, c.n, c.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c.sent, 0, cause(err)
		}
		if c.interrupted.isSet() {
			return c.sent, 0, ErrInterrupted
		}
		if now = time.Now(); !until.IsZero() && !now.Before(until) {
			return c.sent, 0, os.ErrDeadlineExceeded
		}
		c.armed = time.Time{}
	}
}

// receive runs inside RawConn.Read, after the runtime has forgotten earlier readiness: whatever arrives from here on wakes the
// wait that follows a false return.
func (c *Conn) receive(uintptr) bool {
	if len(c.out) > 0 {
		n, err := send(c.fd, c.out)
		c.sent = n
		if err == nil && n < len(c.out) {
			err = ErrShort
		}
		c.out = nil
		c.err = err
		return err != nil
	}
	n, err := recv(c.fd, c.in, 0)
	if err == unix.EAGAIN {
		return false
	}
	if n == 0 && err == nil && len(c.in) > 0 {
		err = io.EOF
	}
	c.n, c.err = n, err
	return true
}

// arm sees to it that a wait ends at until at the latest. A deadline that is a little early is kept, since exchange checks the
// clock when it fires: a connection in steady use changes its deadline about twice per timeout instead of once per read.
func (c *Conn) arm(now, until time.Time) error {
	if c.interrupted.isSet() {
		return ErrInterrupted
	}
	if until.IsZero() {
		if c.armed.IsZero() {
			return nil
		}
	} else if !c.armed.IsZero() && !c.armed.After(until) && c.armed.Sub(now) > until.Sub(now)/2 {
		return nil
	}
	if err := c.tcp.SetReadDeadline(until); err != nil {
		return cause(err)
	}
	c.armed = until
	if c.interrupted.isSet() { // Interrupt came in between and its deadline was overwritten
		return ErrInterrupted
	}
	return nil
}

// Write writes all of p, waiting no longer than stall whenever the peer takes nothing (zero: for ever). It returns how many
// bytes the kernel accepted.
func (c *Conn) Write(p []byte, stall time.Duration) (int, error) {
	n, err := send(c.fd, p)
	if err != nil && err != unix.EAGAIN {
		return n, err
	}
	if n == len(p) {
		return n, nil
	}
	rest, err := c.writeSlowly(p[n:], stall)
	return n + rest, err
}

// writeSlowly writes to a peer that is slower than we are.
func (c *Conn) writeSlowly(p []byte, stall time.Duration) (int, error) {
	done := 0
	defer func() { _ = c.tcp.SetWriteDeadline(time.Time{}) }()
	for done < len(p) {
		if stall > 0 {
			if err := c.tcp.SetWriteDeadline(time.Now().Add(stall)); err != nil {
				return done, cause(err)
			}
		}
		n, err := c.tcp.Write(p[done:])
		done += n
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return done, cause(err)
		}
	}
	return done, nil
}

// State is what Peek finds without waiting.
type State uint8

const (
	// Quiet: open, nothing to read.
	Quiet State = iota
	// Readable: open, bytes wait to be read.
	Readable
	// Gone: the peer closed or reset the connection.
	Gone
)

// Peek looks at the connection without waiting and without taking bytes.
func (c *Conn) Peek() State {
	var b [1]byte
	n, err := recv(c.fd, b[:], unix.MSG_PEEK)
	switch {
	case err == unix.EAGAIN:
		return Quiet
	case err != nil || n == 0:
		return Gone
	}
	return Readable
}

// Departed reports whether the peer has closed its side or reset the connection, even while bytes it sent wait to be read.
func (c *Conn) Departed() bool {
	fds := [1]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds[:], 0)
	return err == nil && n > 0
}

// cause takes the wrapping off an error of package net.
func cause(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	}
	return err
}
