package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInterrupted is returned by reads of a Conn on which Interrupt was called.
var ErrInterrupted = errors.New("socket: interrupted")

// Conn is a TCP connection driven by one goroutine at a time, or by one that reads and one that writes. Only Interrupt, Nudge,
// StopWriting, Ending and Departed may be called by others. Its driver is the only one to close it, or uses it inside Hold: that is
// what makes the use of the bare descriptor safe.
type Conn struct {
	tcp *net.TCPConn
	raw syscall.RawConn
	fd  int

	// scratch of the read under way, for the callback below
	before func() error
	in     []byte
	n      int
	err    error
	// step is receive, bound once so that reads do not allocate.
	step func(fd uintptr) bool

	armed       time.Time // the read deadline the runtime knows; zero: none
	interrupted atomic.Bool
	nudged      atomic.Bool
	unwritable  atomic.Bool

	silence Silence
	looked  time.Time     // at silence
	peer    atomic.Uint32 // the Ending when the connection was closed here
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

// Arm bounds reads that go past this package, by way of TCP: they end at until, or somewhat earlier.
func (c *Conn) Arm(now, until time.Time) error { return c.arm(now, until) }

// TCP returns the connection itself, for what this package does not do. Disarm must be called when others have set deadlines.
func (c *Conn) TCP() *net.TCPConn { return c.tcp }

// ClearDeadlines lifts all deadlines, and forgets a nudge that came too late.
func (c *Conn) ClearDeadlines() error {
	c.nudged.Store(false)
	c.armed = time.Time{}
	return c.tcp.SetDeadline(time.Time{})
}

// Close closes the connection.
func (c *Conn) Close() error {
	_ = c.raw.Control(func(fd uintptr) { c.peer.Store(uint32(ending(int(fd)))) }) // fails when closed already
	return c.tcp.Close()
}

// ResetOnClose has the connection end with a reset instead of a regular end when it is closed.
func (c *Conn) ResetOnClose() {
	_ = c.tcp.SetLinger(0) // fails only when the connection is closed already
}

// Interrupt makes the read under way and all later ones return ErrInterrupted. It may be called from any goroutine.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	_ = c.tcp.SetReadDeadline(time.Unix(1, 0)) // fails only when the connection is closed already
}

// Wake makes the read under way, or else the next one, end as if its time were up. It may be called from any goroutine.
func (c *Conn) Wake() {
	c.nudged.Store(true)
	_ = c.tcp.SetReadDeadline(time.Unix(1, 0)) // fails only when the connection is closed already
}

// Interrupted reports whether Interrupt was called.
func (c *Conn) Interrupted() bool { return c.interrupted.Load() }

// Read reads what is there into p, waiting no longer than until (zero: for ever). It returns os.ErrDeadlineExceeded when until
// has passed and nothing is there, io.EOF at the end, and a syscall.Errno when the connection broke: syscall.ETIMEDOUT also when
// what was sent stays unacknowledged for too long (see Silence), which shows to reads and writes whose time is up now and then.
// now need not be exact.
func (c *Conn) Read(p []byte, now, until time.Time) (int, error) {
	n, _, err := c.WriteThenRead(nil, p, now, until)
	return n, err
}

// WriteThenRead calls before, which writes to the connection, and then waits for the answer and reads it as Read does. Bytes that
// arrived earlier may be overlooked until more arrive, so there must be none: the peer speaks when spoken to. An error of before
// is returned as it is, and nothing is read. before must not read. called is false when the time was up, or the connection
// unusable, before its turn came.
func (c *Conn) WriteThenRead(before func() error, p []byte, now, until time.Time) (n int, called bool, err error) {
	c.before, c.in = before, p
	err = c.wait(c.step, now, until)
	called = c.before == nil
	c.before, c.in = nil, nil
	switch {
	case err == nil:
		return c.n, called, c.err
	case called && errors.Is(err, os.ErrDeadlineExceeded):
		// On a busy machine the bytes may have come in time, and only we are late.
		if n, err := c.TryRead(p); err != ErrNothing { //nolint:errorlint // TryRead returns it bare
			return n, called, err
		}
	}
	return 0, called, err
}

// Serve calls step whenever the connection may have become readable, until it returns true. step reads with TryRead and may
// write, but must not call the other reading methods. In step nothing is lost that arrives meanwhile. It returns early with
// os.ErrDeadlineExceeded as Read does, or with ErrInterrupted.
func (c *Conn) Serve(step func(fd uintptr) (done bool), now, until time.Time) error {
	return c.wait(step, now, until)
}

func (c *Conn) wait(step func(fd uintptr) bool, now, until time.Time) error {
	for {
		if err := c.arm(now, until); err != nil {
			return err
		}
		err := c.raw.Read(step)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return cause(err)
		}
		if c.interrupted.Load() {
			return ErrInterrupted
		}
		if c.nudged.Swap(false) {
			c.armed = time.Unix(1, 0)
			return os.ErrDeadlineExceeded
		}
		if now = time.Now(); !until.IsZero() && !now.Before(until) {
			return c.TimeUp(now)
		}
		c.armed = time.Time{}
	}
}

// TimeUp is what a wait ends with whose time is up: os.ErrDeadlineExceeded, or syscall.ETIMEDOUT when the peer is not there any
// more, as the kernel would say in the end.
func (c *Conn) TimeUp(now time.Time) error {
	const often = time.Second // the first look tells how seldom will do
	switch every := max(often, c.silence.Limit()/4); {
	case c.looked.IsZero():
		c.looked = now
	case now.Sub(c.looked) >= every:
		c.looked = now
		if c.silence.Lasts(c.fd, now) {
			return unix.ETIMEDOUT
		}
	}
	return os.ErrDeadlineExceeded
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
	return c.err != ErrNothing //nolint:errorlint // TryRead returns it bare, and this is every read's path
}

// AwaitReadable waits until there is something to read, or the peer has closed.
func (c *Conn) AwaitReadable() error {
	return c.wait(func(fd uintptr) bool { return poll(int(fd), unix.POLLIN) != 0 }, time.Time{}, time.Time{})
}

// ErrNothing is returned by TryRead when nothing has arrived.
var ErrNothing error = unix.EAGAIN

// TryRead is Read without waiting: ErrNothing means that there is nothing to read.
func (c *Conn) TryRead(p []byte) (int, error) {
	n, errno := recv(c.fd, p, 0)
	switch {
	case errno != 0:
		return 0, errno
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// arm sees to it that a wait ends at until at the latest. A deadline that is a little early is kept, since exchange checks the
// clock when it fires: a connection in steady use changes its deadline about twice per timeout instead of once per read.
func (c *Conn) arm(now, until time.Time) error {
	if c.interrupted.Load() {
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
	if c.interrupted.Load() { // Interrupt came in between and its deadline was overwritten
		return ErrInterrupted
	}
	if c.nudged.Swap(false) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// TryWrite writes what the kernel takes at once, which may be nothing.
func (c *Conn) TryWrite(p []byte) (int, error) {
	n, errno := send(c.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		return n, errno
	}
	return n, nil
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
	_, state := c.PeekInto(b[:])
	return state
}

// PeekInto is Peek, and copies the first bytes that wait to be read.
func (c *Conn) PeekInto(p []byte) (int, State) {
	n, errno := recv(c.fd, p, unix.MSG_PEEK)
	switch {
	case errno == unix.EAGAIN:
		return 0, Quiet
	case errno != 0 || n == 0:
		return 0, Gone
	}
	return n, Readable
}

// Ending is how far a connection has come to its end.
type Ending uint8

const (
	// Whole: the peer has not ended its side.
	Whole Ending = iota
	// HalfClosed: the peer has ended its side, and may be gone or only have nothing more to say (shutdown(2) with SHUT_WR): both look
	// the same from here (RFC 9293 section 3.6).
	HalfClosed
	// Broken: the connection was reset or has ended on both sides, or it was closed from outside its driver.
	Broken
)

// Ending looks without waiting, also past bytes that wait to be read. It may be called from any goroutine.
func (c *Conn) Ending() Ending {
	end := Broken
	_ = c.raw.Control(func(fd uintptr) { end = ending(int(fd)) }) // fails when closed
	return end
}

// Departed reports whether the peer has ended its side, gone or not. It may be called from any goroutine.
func (c *Conn) Departed() bool { return c.Ending() != Whole }

// PeerEnding is Ending, but for what was done from this side: a connection that was closed here is as its peer had left it. It may
// be called from any goroutine, also long after the connection was given away or closed.
func (c *Conn) PeerEnding() Ending {
	end := Whole
	if c.raw.Control(func(fd uintptr) { end = ending(int(fd)) }) != nil { // closed, and before that noted
		return Ending(c.peer.Load())
	}
	return end
}

// ending leaves an error for those who read, unlike a read.
func ending(fd int) Ending {
	switch events := poll(fd, unix.POLLRDHUP); {
	case events&^unix.POLLRDHUP != 0: // what counts unasked: an error, or the end of both sides
		return Broken
	case events != 0:
		return HalfClosed
	}
	return Whole
}

// poll returns which of the events have come, and those that are told unasked.
func poll(fd int, events int16) int16 {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents
}

// Pin runs f while nobody can take the connection's descriptor away: a Close from outside takes effect on reads at once, but
// the descriptor stays until f returns, and so does the caller of Close. f itself must not close. A connection that others may
// close must be used inside Hold only.
func (c *Conn) Pin(f func()) error { return c.raw.Control(func(uintptr) { f() }) }

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
