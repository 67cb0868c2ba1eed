package transport

import "sync"

// control calls f with the descriptor, which nobody closes meanwhile, and returns what f does, or net.ErrClosed. It is syscall.RawConn's
// Control for functions that capture nothing: a closure would have to be allocated for each call, and there are some for each connection.
func (c *Conn) control(f func(fd int) (uint32, error)) (uint32, error) {
	o := controls.Get().(*controlled)
	o.f = f
	err := c.raw.Control(o.run)
	n, inner := o.n, o.err
	o.f, o.err = nil, nil
	controls.Put(o)
	if err != nil {
		return 0, cause(err)
	}
	return n, inner
}

// controlled is one call of control.
type controlled struct {
	f   func(fd int) (uint32, error)
	run func(fd uintptr) // call, bound once
	n   uint32
	err error
}

var controls = sync.Pool{New: func() any {
	o := &controlled{}
	o.run = o.call
	return o
}}

func (o *controlled) call(fd uintptr) { o.n, o.err = o.f(int(fd)) }
