package policy

import "time"

// ForcedBreaker keeps the breakers of a binding open, or closed, for a time, whatever they count. The zero value does nothing.
type ForcedBreaker struct {
	// Open: every call is rejected. Otherwise none is.
	Open bool
	// Until is when it ends, in seconds since 1970.
	Until int64
}

// Set reports whether f does something, until its time is over.
func (f ForcedBreaker) Set() bool { return f.Until != 0 }

// End is when it ends.
func (f ForcedBreaker) End() time.Time { return time.Unix(f.Until, 0).UTC() }
