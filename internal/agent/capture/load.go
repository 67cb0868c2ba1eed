package capture

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// evaluateEvery is after how many more connections the load is evaluated without waiting for the next loadInterval.
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

// load is how much the agent carries, and whether it may be given more.
type load struct {
	// immutable
	limit      int64
	memory     Memory // may be nil
	exhaustion exhaustion
	wake       func() // has evaluate called soon; never blocks

	// atomic
	connections atomic.Int64
	shedding    atomic.Pointer[error]

	memoryShort bool // used by evaluate alone
}

// newLoad allows so many connections and the memory.
func newLoad(limit int64, memory Memory, wake func()) *load {
	start := time.Now()
	return &load{limit: limit, memory: memory, wake: wake,
		exhaustion: exhaustion{sinceStart: func() time.Duration { return time.Since(start) }, spare: spareDescriptors}}
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

// exhaust records that a descriptor or memory was not to be had.
func (l *load) exhaust() {
	l.exhaustion.happened()
	if l.overload() == nil {
		l.wake()
	}
}

// overload returns why no more connections are accepted; nil if they are.
func (l *load) overload() error {
	if reason := l.shedding.Load(); reason != nil {
		return *reason
	}
	return nil
}

// resumeAt is a tenth below the limit, so that shedding does not come and go with every connection.
func (l *load) resumeAt() int64 { return l.limit - l.limit/10 }

// evaluate decides whether to shed now, and reports why if so and whether that has changed.
func (l *load) evaluate() (reason error, changed bool) {
	before := l.overload()
	n := l.connections.Load()
	switch {
	case n > l.limit || before != nil && n > l.resumeAt():
		reason = overloadError{fmt.Sprintf("the agent serves as many connections as it may (%d)", l.limit)}
	case l.exhaustion.lasts():
		reason = errExhausted
	}
	if err := l.evaluateMemory(); reason == nil {
		reason = err
	}
	if reason == nil {
		l.shedding.Store(nil)
	} else {
		l.shedding.Store(&reason)
	}
	return reason, (reason == nil) != (before == nil)
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

// overloaded says that err is for overload.
func overloaded(err error) bool {
	e, ok := errors.AsType[stepError](err)
	return ok && e.reason == ReasonOverload
}
