package drive

import (
	"sync/atomic"
	"time"
)

// State is what a captured connection is doing.
type State int32

// The states.
const (
	// Busy: a request is under way, or the connection has not shown yet what it carries.
	Busy State = iota
	// Idle: between two requests.
	Idle
	// Closing: it was idle and is being closed.
	Closing
	// Tunnelling: a call has turned the connection into a tunnel.
	Tunnelling
	// Passing: it is passed through without being understood.
	Passing
)

// epoch is what times of activities are counted from: a time with a monotonic reading.
var epoch = time.Now()

// Activity is what a connection is doing, so that a drain can close idle connections and metrics can count open ones. Its methods
// may be called from any goroutine.
type Activity struct {
	state atomic.Int32
	since atomic.Int64 // the last request, in nanoseconds since epoch
}

// State returns the state.
func (a *Activity) State() State { return State(a.state.Load()) }

// Set sets the state.
func (a *Activity) Set(s State) { a.state.Store(int32(s)) }

// BecomeTunnel makes the connection a tunnel if it is busy.
func (a *Activity) BecomeTunnel() { a.state.CompareAndSwap(int32(Busy), int32(Tunnelling)) }

// BecomeBusy reports false when the connection is being closed, so that the request that has just arrived must not be served.
func (a *Activity) BecomeBusy() bool {
	return a.state.CompareAndSwap(int32(Idle), int32(Busy)) || a.State() == Busy
}

// RestedAt notes when the connection had its last request.
func (a *Activity) RestedAt(now time.Time) { a.since.Store(int64(now.Sub(epoch))) }

func (a *Activity) betweenRequests() bool {
	s := a.State()
	return s == Idle || s == Closing
}

// closeIfIdle reports whether the connection has been idle since before a time; it is closing then.
func (a *Activity) closeIfIdle(before time.Time) bool {
	return a.since.Load() < int64(before.Sub(epoch)) && a.state.CompareAndSwap(int32(Idle), int32(Closing))
}
