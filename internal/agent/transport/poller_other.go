//go:build !linux

package transport

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Poller waits for connections that are mostly quiet, with a goroutine for each.
type Poller struct {
	mu      sync.Mutex
	waiting map[*Conn]*waiter // guarded by mu
}

type waiter struct{ ready func() }

// NewPoller returns a Poller.
func NewPoller() (*Poller, error) { return &Poller{waiting: map[*Conn]*waiter{}}, nil }

// Wait has ready called once when there is something to read on c or its peer has ended its side, at once if that is so already. Nobody
// may read from c meanwhile, or wait for it a second time. ready must not block. It is never called when c is closed: whoever closes must
// call Forget.
func (p *Poller) Wait(c *Conn, ready func()) error {
	if c.Peek() != Quiet {
		ready()
		return nil
	}
	c.armed = 0
	if err := c.socket.SetReadDeadline(time.Time{}); err != nil {
		return cause(err)
	}
	w := &waiter{ready}
	p.mu.Lock()
	p.waiting[c] = w
	p.mu.Unlock()
	go func() { // ends when something arrives, or c is closed
		_ = c.raw.Read(func(fd uintptr) bool { return poll(int(fd), unix.POLLIN) != 0 }) // an error is for who reads
		if p.take(c, w) {
			w.ready()
		}
	}()
	return nil
}

// take ends a Wait, and reports whether it went on.
func (p *Poller) take(c *Conn, w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[c] != w {
		return false
	}
	delete(p.waiting, c)
	return true
}

// Forget ends a Wait for c, if there is one. ready may be on its way still.
func (p *Poller) Forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, c)
}
