package transport

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInterrupted is returned by reads of a Conn on which Interrupt was called, and by writes after StopWriting.
var ErrInterrupted = errors.New("transport: interrupted")

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Interrupt makes the read under way and all later ones return ErrInterrupted. It may be called from any goroutine. Those who have the
// Socket only can interrupt an unbounded read by a deadline in the past.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	_ = c.socket.SetReadDeadline(past) // fails only when the connection is closed already
}

// Interrupted reports whether Interrupt was called.
func (c *Conn) Interrupted() bool { return c.interrupted.Load() }

// Wake makes the read under way, or else the next one, end as if its time were up. It may be called from any goroutine.
func (c *Conn) Wake() {
	c.woken.Store(true)
	_ = c.socket.SetReadDeadline(past) // fails only when the connection is closed already
}

// ClearDeadlines lifts all deadlines, and forgets a Wake that came too late. It returns ErrInterrupted after Interrupt.
func (c *Conn) ClearDeadlines() error {
	c.woken.Store(false)
	c.armed = 0
	if err := c.socket.SetDeadline(time.Time{}); err != nil {
		return cause(err)
	}
	if c.interrupted.Load() {
		return ErrInterrupted
	}
	return nil
}

// Arm bounds the reads of a Mover: they end at until (zero: never), or somewhat earlier. now need not be exact.
func (c *Conn) Arm(now, until time.Time) error { return c.arm(At(now), At(until)) }

// arm sees to it that a wait ends at until at the latest. A deadline that is a little early is kept, since those who wait check the
// clock when it fires: a connection in steady use changes its deadline about twice per timeout instead of once per read.
func (c *Conn) arm(now, until Instant) error {
	if c.interrupted.Load() {
		return ErrInterrupted
	}
	if until == 0 {
		if c.armed == 0 {
			return nil
		}
	} else if c.armedFor(now, until) {
		return nil
	}
	if err := c.socket.SetReadDeadline(until.Time()); err != nil {
		return cause(err)
	}
	c.armed = until
	if c.interrupted.Load() { // Interrupt came in between and its deadline was overwritten
		return ErrInterrupted
	}
	if c.woken.Swap(false) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *Conn) wait(step func(fd uintptr) bool, now, until Instant) error {
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
		if c.woken.Swap(false) {
			c.armed = longAgo
			return os.ErrDeadlineExceeded
		}
		if until == 0 { // nobody here has set the deadline
			return ErrInterrupted
		}
		read := time.Now()
		if now = At(read); now >= until {
			return c.TimeoutError(read)
		}
		c.armed = 0
	}
}

func (c *Conn) armedFor(now, until Instant) bool {
	return c.armed != 0 && c.armed <= until && c.armed-now > (until-now)/2
}

// waitArmed waits for step under the deadline that is armed.
func (c *Conn) waitArmed(step func(fd uintptr) bool) error {
	err := c.raw.Read(step)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return cause(err)
	case c.interrupted.Load():
		return ErrInterrupted
	}
	c.woken.Store(false)
	c.armed = longAgo // it may have been the deadline of Wake, which the next Arm must replace
	return os.ErrDeadlineExceeded
}

// TimeoutError is what a wait ends with whose time is up: os.ErrDeadlineExceeded, or syscall.ETIMEDOUT when the peer is not there
// any more, as the kernel would say in the end.
func (c *Conn) TimeoutError(now time.Time) error {
	const often = time.Second // until the first look has found the limit
	switch every := Instant(max(often, c.acks.limit/4)); {
	case c.checked == 0:
		c.checked = At(now)
	case At(now)-c.checked >= every:
		c.checked = At(now)
		if vanished, _ := c.PeerVanished(now); vanished {
			return unix.ETIMEDOUT
		}
	}
	return os.ErrDeadlineExceeded
}

// cause takes the wrapping off an error of the runtime's poller. Package os keeps its own for a closed descriptor to itself, so what
// is none of the others is that.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return net.ErrClosed
}
