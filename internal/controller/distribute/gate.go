package distribute

import (
	"sync"
	"time"
)

// Gate says whether this replica serves agents. It is shut at first. Opening it before the first complete compilation was
// published would make agents drop policies that are merely not compiled yet.
type Gate struct {
	mu sync.Mutex
	// guarded by mu
	shut   chan struct{} // closed when the gate shuts; nil while it is shut
	opened time.Time
}

// Open lets agents in.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut, g.opened = make(chan struct{}), time.Now()
	}
}

// Shut keeps agents out and ends the streams of those inside; they try the other replicas.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// pass returns a channel that is closed when the gate shuts, or false when it is shut.
func (g *Gate) pass() (<-chan struct{}, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut, g.shut != nil
}

// openFor returns how long the gate has been open; 0 when it is shut.
func (g *Gate) openFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		return 0
	}
	return now.Sub(g.opened)
}
