package transport

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Poller waits for connections that are mostly quiet, with one goroutine for all of them, which there is only while somebody waits. The
// runtime's own poller needs a goroutine for each, with a stack of several KiB.
type Poller struct {
	// immutable after NewPoller
	epoll *os.File
	fd    int // of epoll, which is open as long as the Poller is used
	raw   syscall.RawConn

	mu sync.Mutex
	// guarded by mu
	waiting map[int32]waiter // by descriptor
	running bool
}

type waiter struct {
	conn  *Conn
	ready func()
}

// NewPoller returns a Poller.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for the runtime's poller
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &Poller{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, waiting: make(map[int32]waiter)}
	p.raw, err = p.epoll.SyscallConn()
	return p, err
}

// Wait has ready called once when there is something to read on c or its peer has ended its side, at once if that is so already. Nobody
// may read from c meanwhile, or wait for it a second time. ready must not block. It is never called when c is closed: whoever closes must
// call Forget.
func (p *Poller) Wait(c *Conn, ready func()) error {
	if !c.Plain() && c.Peek() != Quiet {
		ready()
		return nil
	}
	op := p.add(c, ready)
	var inner error
	err := c.raw.Control(func(uintptr) { inner = p.watch(c, op) }) // an error means closed
	if err == nil && inner == nil {
		return nil
	}
	p.Forget(c)
	if err != nil {
		return cause(err)
	}
	return inner
}

// Forget ends a Wait for c, if there is one. ready may be on its way still.
func (p *Poller) Forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[int32(c.fd)].conn != c {
		return
	}
	delete(p.waiting, int32(c.fd))
	if len(p.waiting) == 0 {
		_ = p.epoll.SetReadDeadline(past) // ends run; an epoll file has deadlines
	}
}

// add expects that the event comes after it. It returns what the kernel has to know: the event may come, and the connection be watched
// again, before the first call for it has returned.
func (p *Poller) add(c *Conn, ready func()) (op int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[int32(c.fd)] = waiter{c, ready}
	op = unix.EPOLL_CTL_MOD
	if !c.polled {
		op, c.polled = unix.EPOLL_CTL_ADD, true // until the descriptor is closed
	}
	if !p.running {
		p.running = true
		go p.run() // ends by itself when nobody waits any more
	}
	return op
}

func (p *Poller) watch(c *Conn, op int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(c.fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, c.fd, &event))
}

func (p *Poller) run() {
	var events [64]unix.EpollEvent
	n := 0
	step := func(fd uintptr) bool {
		n, _ = unix.EpollWait(int(fd), events[:], 0) // an error is an interruption; then there will be another event
		return n > 0
	}
	for p.goOn() {
		n = 0
		_ = p.raw.Read(step) // an error is the deadline of Forget
		for i := range max(n, 0) {
			p.dispatch(events[i].Fd)
		}
	}
}

// goOn ends run if nobody waits.
func (p *Poller) goOn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = len(p.waiting) > 0
	_ = p.epoll.SetReadDeadline(time.Time{})
	return p.running
}

// dispatch calls the waiter of a descriptor. There is none when an event was on its way as its connection was closed.
func (p *Poller) dispatch(fd int32) {
	p.mu.Lock()
	w, ok := p.waiting[fd]
	delete(p.waiting, fd)
	p.mu.Unlock()
	if ok {
		w.ready()
	}
}
