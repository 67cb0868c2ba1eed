package transport

import "sync"

// pinned is one call of syscall.RawConn's Control, which keeps the descriptor: a closure would have to be allocated for each, and there are
// some for each connection.
type pinned struct {
	run func(fd uintptr) // call, bound once

	// what is called, one of these
	f     func()
	mover *Mover
	look  func(fd int) (uint32, error)

	// what look has returned
	n   uint32
	err error
}

var pins = sync.Pool{New: func() any {
	p := &pinned{}
	p.run = p.call
	return p
}}

func (p *pinned) call(fd uintptr) {
	switch {
	case p.f != nil:
		p.f()
	case p.mover != nil:
		p.mover.write()
	default:
		p.n, p.err = p.look(int(fd))
	}
}

// on makes the call, and gives p back. An error means that the connection is closed.
func (p *pinned) on(c *Conn) error {
	err := c.raw.Control(p.run)
	p.f, p.mover, p.look, p.err = nil, nil, nil, nil
	pins.Put(p)
	return err
}

// Pin runs f while nobody can take the connection's descriptor away: a Close from outside takes effect on reads at once, but
// the descriptor stays until f returns, and so does the caller of Close. f itself must not close. A connection that others may
// close must be used inside Pin only.
func (c *Conn) Pin(f func()) error {
	p := pins.Get().(*pinned)
	p.f = f
	return p.on(c)
}

// control calls look, which captures nothing, with the descriptor, and returns what it returns, or net.ErrClosed.
func (c *Conn) control(look func(fd int) (uint32, error)) (uint32, error) {
	p := pins.Get().(*pinned)
	p.look = look
	err := c.raw.Control(p.run)
	n, inner := p.n, p.err
	p.look, p.err = nil, nil
	pins.Put(p)
	if err != nil {
		return 0, cause(err)
	}
	return n, inner
}

// write has m write to the connection.
func (c *Conn) write(m *Mover) error {
	p := pins.Get().(*pinned)
	p.mover = m
	return p.on(c)
}
