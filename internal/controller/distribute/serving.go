package distribute

import (
	"sync"
	"time"
)

// ServingSwitch says whether this replica serves agents. It is shut at first. Opening it before the first complete compilation was
// published would make agents drop policies that are merely not compiled yet.
type ServingSwitch struct {
	mu sync.Mutex
	// guarded by mu
	stopped   chan struct{} // closed when the gate shuts; nil while it is shut
	startedAt time.Time
}

// Start lets agents in.
func (g *ServingSwitch) Start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		g.stopped, g.startedAt = make(chan struct{}), time.Now()
	}
}

// Stop keeps agents out and ends the streams of those inside; they try the other replicas.
func (g *ServingSwitch) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped != nil {
		close(g.stopped)
		g.stopped = nil
	}
}

// current returns a channel that is closed when the gate shuts, or false when it is shut.
func (g *ServingSwitch) current() (<-chan struct{}, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped, g.stopped != nil
}

// servingFor returns how long the gate has been open; 0 when it is shut.
func (g *ServingSwitch) servingFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		return 0
	}
	return now.Sub(g.startedAt)
}
