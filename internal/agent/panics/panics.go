// Package panics carries a panic from a helping goroutine to the one that it helps, which knows what to give up for it.
package panics

import (
	"runtime/debug"
	"sync"
)

// Carrier takes a panic over. The zero value holds none.
type Carrier struct {
	what  any
	stack []byte
}

// Catch is deferred by the helping goroutine.
func (c *Carrier) Catch() {
	if what := recover(); what != nil {
		c.Hold(what)
	}
}

// Hold takes over what the function that calls it has recovered.
func (c *Carrier) Hold(recovered any) { c.what, c.stack = recovered, debug.Stack() }

// Holds reports whether there was a panic.
func (c *Carrier) Holds() bool { return c.what != nil }

// Raise panics in turn, with c as the value, if there was a panic.
func (c *Carrier) Raise() {
	if c.what != nil {
		panic(c)
	}
}

// Aside runs f on a goroutine of its own and waits for it, for what needs a large stack, which would stay with the caller's goroutine. A
// panic of f becomes the caller's.
func Aside(f func()) {
	a := asides.Get().(*aside)
	a.f = f
	go a.run()
	<-a.done
	a.f = nil
	a.panicked.Raise() // a is not used again then
	asides.Put(a)
}

// aside is one call of Aside.
type aside struct {
	f        func()
	run      func()        // call, bound once
	done     chan struct{} // receives when f has ended
	panicked Carrier
}

var asides = sync.Pool{New: func() any {
	a := &aside{done: make(chan struct{}, 1)}
	a.run = a.call
	return a
}}

func (a *aside) call() {
	defer func() { a.done <- struct{}{} }()
	defer a.panicked.Catch()
	a.f()
}

// Cause returns what was recovered and the stack that it happened on, for a panic that may have been carried. It must be called by
// the function that recovered.
func Cause(recovered any) (what any, stack []byte) {
	if c, ok := recovered.(*Carrier); ok {
		return c.what, c.stack
	}
	return recovered, debug.Stack()
}
