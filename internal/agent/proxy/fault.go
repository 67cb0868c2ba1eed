package proxy

import "runtime/debug"

// fault carries a panic from a goroutine that helps a session to the session's own, which knows what to do about it.
type fault struct {
	what  any
	stack []byte
}

// catch is deferred by the helping goroutine.
func (f *fault) catch() {
	if what := recover(); what != nil {
		f.what, f.stack = what, debug.Stack()
	}
}

// raise panics in turn if there was a panic.
func (f *fault) raise() {
	if f.what != nil {
		panic(f)
	}
}
