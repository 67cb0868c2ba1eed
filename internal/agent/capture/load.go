package capture

import (
	"sync/atomic"
	"time"
)

// breather is how long new connections go direct after the node ran out of something.
const breather = 5 * time.Second

// load is how much the agent carries, and whether it may be given more.
type load struct {
	// immutable
	limit int64
	kick  func() // has relieve called soon; never blocks

	// atomic
	connections atomic.Int64
	rest        atomic.Int64 // Unix nanoseconds until which nothing more is taken
	shedding    atomic.Bool
}

// add counts a connection, remove uncounts it.
func (l *load) add() {
	if l.connections.Add(1) == l.limit+1 {
		l.kick()
	}
}

func (l *load) remove() {
	if l.connections.Add(-1) == l.resumeAt() && l.shedding.Load() {
		l.kick()
	}
}

// exhaust says that a descriptor or memory was not to be had.
func (l *load) exhaust() {
	l.rest.Store(time.Now().Add(breather).UnixNano())
	if !l.shedding.Load() {
		l.kick()
	}
}

// resumeAt is a tenth below the limit, so that shedding does not come and go with every connection.
func (l *load) resumeAt() int64 { return l.limit - l.limit/10 }

// weigh decides whether to shed now, and says whether that is news.
func (l *load) weigh(now time.Time) (shedding, news bool) {
	n := l.connections.Load()
	before := l.shedding.Load()
	shedding = n > l.limit || before && n > l.resumeAt() || now.UnixNano() < l.rest.Load()
	l.shedding.Store(shedding)
	return shedding, shedding != before
}
