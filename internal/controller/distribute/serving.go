package distribute

import (
	"net"
	"sync"
	"time"
)

// ServingSwitch reports whether this replica serves agents. At first it does not. Starting before the first complete compilation was
// published would make agents drop policies that are merely not compiled yet.
type ServingSwitch struct {
	mu sync.Mutex
	// guarded by mu
	stopped   chan struct{} // closed by Stop; nil while not serving
	startedAt time.Time
}

// Start has the server answer agents.
func (g *ServingSwitch) Start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		g.stopped, g.startedAt = make(chan struct{}), time.Now()
	}
}

// Stop has the server refuse agents, and ends the streams there are; their agents try the other replicas.
func (g *ServingSwitch) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped != nil {
		close(g.stopped)
		g.stopped = nil
	}
}

// current returns a channel that Stop closes, or false while not serving.
func (g *ServingSwitch) current() (<-chan struct{}, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped, g.stopped != nil
}

// servingFor returns how long ago Start was called; 0 while not serving.
func (g *ServingSwitch) servingFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		return 0
	}
	return now.Sub(g.startedAt)
}

// servingListener closes connections that come while this replica does not serve. Agents try again every few seconds until one does: a handshake
// for each attempt of thousands of them would take the time that a replica needs to get ready.
type servingListener struct {
	net.Listener
	serving *ServingSwitch
}

// Accept implements net.Listener.
func (l servingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, serving := l.serving.current(); serving {
			return conn, nil
		}
		_ = conn.Close()
	}
}
