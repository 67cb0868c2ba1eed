package transport

import "golang.org/x/sys/unix"

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
	if !c.Plain() {
		return c.peekLayer(p)
	}
	return peek(c.fd, p)
}

// Ending is how far a connection has come to its end.
type Ending uint8

const (
	// Open: the peer has not ended its side.
	Open Ending = iota
	// HalfClosed: the peer has ended its side, and may be gone or only have nothing more to say (shutdown(2) with SHUT_WR): both look
	// the same from here (RFC 9293 section 3.6).
	HalfClosed
	// Broken: the connection was reset or has ended on both sides, or it was closed from outside its driver.
	Broken
)

// Ending looks at the socket without waiting, also past bytes that wait to be read. It may be called from any goroutine.
func (c *Conn) Ending() Ending {
	end, err := c.control(endingOf)
	if err != nil { // closed
		return Broken
	}
	return Ending(end)
}

// noteEnding says that the Ending is to be noted when the connection is closed.
const noteEnding = 1 << 8

// NoteEnding has PeerEnding know of the connection when it has been closed, for which the closing takes one system call more.
func (c *Conn) NoteEnding() {
	if c.ended.Load() == 0 {
		c.ended.Or(noteEnding)
	}
}

// PeerEnding is Ending, but for what was done from this side: a connection that was closed here after NoteEnding is as its peer had left
// it. It may be called from any goroutine, also long after the connection was given away or closed.
func (c *Conn) PeerEnding() Ending {
	end, err := c.control(endingOf)
	if err != nil { // closed, and before that noted
		return Ending(c.ended.Load() &^ noteEnding)
	}
	return Ending(end)
}

func endingOf(fd int) (uint32, error) { return uint32(ending(fd)), nil }

// poll returns which of the events have come, and those that are reported unasked.
func poll(fd int, events int16) int16 {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents
}
