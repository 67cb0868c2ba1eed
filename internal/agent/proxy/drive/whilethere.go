package drive

import (
	"context"
	"errors"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
)

// WhileThere is a context for something that is done for a client and may take long: it ends at a time, and when the client has gone,
// which is checked periodically until Stop. One timer serves both, and nothing is made for those who never wait: a connection that
// nothing governs would else cost a dozen allocations more.
type WhileThere struct {
	// immutable after NewWhileThere
	client interface{ Left() bool } // a Client
	until  time.Time                // zero: there is no time
	late   error                    // what it ends with at that time

	mu sync.Mutex
	// guarded by mu
	timer   *time.Timer
	stopped bool
	err     error
	done    chan struct{} // nil: nobody has asked for it
	ends    []*func()     // what AfterFunc was given, and is still to be called
	// panicked is what looking at the client has panicked with; nil: it has not
	panicked *panics.Carrier
}

var _ context.Context = (*WhileThere)(nil)

// NewWhileThere returns a context that ends with late, which is or wraps context.DeadlineExceeded, at a time (zero: never). Whether the client
// has gone is looked at by another goroutine.
func NewWhileThere(client interface{ Left() bool }, until time.Time, late error) *WhileThere {
	w := &WhileThere{client: client, until: until, late: late}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.untilNext(time.Now()), w.check)
	return w
}

// untilNext is how long the next check is off.
func (w *WhileThere) untilNext(now time.Time) time.Duration {
	if w.until.IsZero() {
		return FirstCheck
	}
	return min(w.until.Sub(now), FirstCheck)
}

// Left reports whether the context has ended because the client has gone.
func (w *WhileThere) Left() bool { return errors.Is(w.Err(), context.Canceled) }

// Stop ends the checks: what the context was for has come to its end.
func (w *WhileThere) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// Raise panics in turn if looking at the client has panicked, for which the context has ended as if the client had gone. It is for those
// who hold nothing that would be lost.
func (w *WhileThere) Raise() {
	w.mu.Lock()
	panicked := w.panicked
	w.mu.Unlock()
	if panicked != nil {
		panicked.Raise()
	}
}

// look reports whether the client has gone, or why that cannot be found out.
func (w *WhileThere) look() (left bool, panicked *panics.Carrier) {
	var caught panics.Carrier
	func() {
		defer caught.Catch()
		left = w.client.Left()
	}()
	if !caught.Holds() {
		return left, nil
	}
	kept := caught // on the heap only now
	return true, &kept
}

func (w *WhileThere) check() {
	left, panicked := w.look()
	for _, f := range w.checked(left, panicked) {
		(*f)()
	}
}

// checked takes in whether the client has gone. Where the context has ended it returns what is to be called.
func (w *WhileThere) checked(left bool, panicked *panics.Carrier) (ends []*func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends = w.ends
	now := time.Now()
	switch {
	case w.stopped:
		return nil
	case left:
		w.panicked = panicked
		w.end(context.Canceled)
	case Passed(w.until, now):
		w.end(w.late)
	default:
		w.timer.Reset(w.untilNext(now))
		return nil
	}
	return ends
}

// end expects the lock.
func (w *WhileThere) end(err error) {
	w.err, w.ends = err, nil
	if w.done != nil {
		close(w.done)
	}
}

// Deadline implements context.Context.
func (w *WhileThere) Deadline() (time.Time, bool) { return w.until, !w.until.IsZero() }

// Done implements context.Context.
func (w *WhileThere) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.err != nil {
			close(w.done)
		}
	}
	return w.done
}

// Err implements context.Context.
func (w *WhileThere) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Value implements context.Context.
func (w *WhileThere) Value(any) any { return nil }

// AfterFunc is what package context uses in place of a goroutine that waits for Done. f is called on a goroutine of its own.
func (w *WhileThere) AfterFunc(f func()) (stop func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		go f() // as context.AfterFunc does
		return func() bool { return false }
	}
	own := &f
	w.ends = append(w.ends, own)
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, other := range w.ends {
			if other == own {
				w.ends = append(w.ends[:i:i], w.ends[i+1:]...)
				return true
			}
		}
		return false
	}
}
