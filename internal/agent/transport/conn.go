package transport

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a connected TCP socket that the runtime's poller watches. *net.TCPConn is one; so is an *os.File made of a non-blocking
// descriptor, which needs fewer system calls and less memory because it does not know its addresses.
type Socket interface {
	syscall.Conn
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Close() error
}

// Conn is a TCP connection, possibly with a security layer on top, driven by one goroutine at a time, or by one that reads and one that
// writes. Only Interrupt, Wake, StopWriting, Ending and PeerEnding may be called by others. Its driver is the only one to close it, or
// uses it inside Pin: that is what makes the use of the bare descriptor safe.
//
// There are one or two for each idle connection of a client, so the order of the fields matters: see TestConnIsSmall.
type Conn struct {
	// immutable after New
	socket Socket
	raw    syscall.RawConn
	fd     int
	// layer is what the bytes go through, nil for a plain connection. It is set before they do, maybe while others close the connection.
	layer atomic.Pointer[Layer]

	turn func() // see TakeTurns; may be nil

	// scratch of the read under way, for the callback below
	before func() error
	in     []byte
	n      int
	err    error
	// step is receive, bound once so that reads do not allocate.
	step func(fd uintptr) bool

	armed   Instant // the read deadline the runtime knows; zero: none
	checked Instant // when acks was last asked
	acks    ackWatch

	interrupted atomic.Bool
	woken       atomic.Bool
	unwritable  atomic.Bool
	reset       atomic.Bool   // Close is to reset the connection
	ended       atomic.Uint32 // noteEnding, and the peer's Ending when the connection was closed here
	polled      bool          // a Poller knows the descriptor; its own
}

// New takes ownership of s.
func New(s Socket) (*Conn, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{socket: s, raw: raw}
	c.step = c.receive
	fd, err := c.control(func(fd int) (uint32, error) { return uint32(fd), nil })
	c.fd = int(fd)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// TakeTurns has whoever waits for the connection go on with what has come, or when its time is up, in its turn: turn waits for that. It covers Read,
// WriteThenRead and what comes for a Mover; those who call TryRead see to it themselves. Only before the connection is used.
func (c *Conn) TakeTurns(turn func()) { c.turn = turn }

// Plain reports whether what is read and written is what travels on the socket, so that the kernel can move it (see Mover).
func (c *Conn) Plain() bool { return c.layer.Load() == nil }

// RemoteAddr is the peer's address; it is invalid when the connection has ended.
func (c *Conn) RemoteAddr() netip.AddrPort { return peerAddr(c.raw) }

// PeerAddr is RemoteAddr of a socket.
func PeerAddr(s syscall.Conn) netip.AddrPort {
	raw, err := s.SyscallConn()
	if err != nil {
		return netip.AddrPort{}
	}
	return peerAddr(raw)
}

func peerAddr(raw syscall.RawConn) netip.AddrPort {
	var sa syscall.Sockaddr
	err := raw.Control(func(fd uintptr) { sa, _ = syscall.Getpeername(int(fd)) }) // sa is nil when it fails; package unix makes a second call
	if err != nil {
		return netip.AddrPort{}
	}
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// Close closes the connection. A peer behind a layer learns that this is on purpose, except after ResetOnClose.
func (c *Conn) Close() error {
	if c.layer.Load() != nil || c.ended.Load() != 0 {
		_ = c.Pin(c.leave) // fails when closed already
	}
	return c.socket.Close()
}

// leave is what precedes the closing of the descriptor.
func (c *Conn) leave() {
	if c.ended.Load() != 0 { // first: a peer that has closed answers what a layer says with a reset
		c.ended.Or(uint32(ending(c.fd)))
	}
	if l := c.layer.Load(); l != nil && !c.reset.Load() {
		(*l).Leave()
	}
}

// CloseWrite tells the peer that nothing follows what was written. It can still be read from.
func (c *Conn) CloseWrite() error {
	if l := c.layer.Load(); l != nil {
		return (*l).CloseWrite()
	}
	return c.shutdown()
}

func (c *Conn) shutdown() error {
	_, err := c.control(func(fd int) (uint32, error) { return 0, unix.Shutdown(fd, unix.SHUT_WR) })
	return err
}

// ResetOnClose has the connection end with a reset instead of a regular end when it is closed.
func (c *Conn) ResetOnClose() {
	c.reset.Store(true)
	_ = c.raw.Control(func(fd uintptr) { // fails only when the connection is closed already
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}
