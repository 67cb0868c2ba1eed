package capture

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// exhaustionPause is how long new connections go direct after the node ran out of something.
	exhaustionPause = 5 * time.Second
	// evaluateEvery is after how many more connections the load is looked at without waiting for the next second.
	evaluateEvery = 1024
	// Percents of the memory that the agent may use. New connections go direct from shedAt on until there is less than resumeBelow, and the
	// garbage collector, which works the harder the closer it gets to its own limit, is given less than both.
	shedAt, resumeBelow = 85, 80
)

// Memory is what the agent may use and uses.
type Memory interface {
	// Usage returns both in bytes, and whether there is a limit at all.
	Usage() (used, limit int64, limited bool)
}

// load is how much the agent carries, and whether it may be given more. Times are durations since its start: the clock may be set.
type load struct {
	// immutable
	limit      int64
	memory     Memory               // may be nil
	sinceStart func() time.Duration // the time since the start
	wake       func()               // has weigh called soon; never blocks

	// atomic
	connections    atomic.Int64
	exhaustedUntil atomic.Int64 // a time.Duration until which nothing more is taken
	shedding       atomic.Pointer[error]

	memoryShort bool // of memory; used by weigh alone
}

// newLoad allows so many connections and the memory.
func newLoad(limit int64, memory Memory, kick func()) *load {
	start := time.Now()
	return &load{limit: limit, memory: memory, wake: kick, sinceStart: func() time.Duration { return time.Since(start) }}
}

// add counts a connection, remove uncounts it.
func (l *load) add() {
	if n := l.connections.Add(1); n == l.limit+1 || n%evaluateEvery == 0 {
		l.wake()
	}
}

func (l *load) remove() {
	if l.connections.Add(-1) == l.resumeAt() && l.overload() != nil {
		l.wake()
	}
}

// exhaust says that a descriptor or memory was not to be had.
func (l *load) exhaust() {
	l.exhaustedUntil.Store(int64(l.sinceStart() + exhaustionPause))
	if l.overload() == nil {
		l.wake()
	}
}

// overload says why no more connections are wanted; nil if they are.
func (l *load) overload() error {
	if why := l.shedding.Load(); why != nil {
		return *why
	}
	return nil
}

// resumeAt is a tenth below the limit, so that shedding does not come and go with every connection.
func (l *load) resumeAt() int64 { return l.limit - l.limit/10 }

// evaluate decides whether to shed now, and says why if so and whether that is news.
func (l *load) evaluate() (why error, news bool) {
	before := l.overload()
	n := l.connections.Load()
	switch {
	case n > l.limit || before != nil && n > l.resumeAt():
		why = overloadError{fmt.Sprintf("the agent serves as many connections as it may (%d)", l.limit)}
	case l.sinceStart() < time.Duration(l.exhaustedUntil.Load()):
		why = errExhausted
	}
	if err := l.evaluateMemory(); why == nil {
		why = err
	}
	if why == nil {
		l.shedding.Store(nil)
	} else {
		l.shedding.Store(&why)
	}
	return why, (why == nil) != (before == nil)
}

func (l *load) evaluateMemory() error {
	if l.memory == nil {
		return nil
	}
	used, limit, limited := l.memory.Usage()
	percent := used * 100 / max(limit, 1)
	l.memoryShort = limited && (percent >= shedAt || l.memoryShort && percent >= resumeBelow)
	if !l.memoryShort {
		return nil
	}
	return overloadError{fmt.Sprintf("the agent is close to its limit of memory (%d MiB)", limit>>20)}
}

// overloadError says what the node or the agent is short of. It does not change while that lasts.
type overloadError struct{ what string }

func (e overloadError) Error() string { return e.what + "; new connections go direct" }

var errExhausted = error(overloadError{"the node is out of descriptors or memory"})
