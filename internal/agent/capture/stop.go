package capture

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

const (
	// forcedStopWait bounds the wait for handlers whose connections have been closed.
	forcedStopWait = 5 * time.Second
	// closedPodsWait bounds the wait for connections of pods whose new ones are refused meanwhile.
	closedPodsWait = 20 * time.Second
)

// stop ends all captures. It begins with those of pods that can do without, and waits for their connections to end. A pod that fails closed,
// and that no other agent has taken over, is served until then: its connections would be refused for as long as anybody's last.
func (m *Manager) stop() error {
	done := make(chan struct{})
	go func() { m.wg.Wait(); close(done) }()
	var ends sync.WaitGroup
	stopped := make(chan struct{})
	ends.Go(func() { m.followEnds(stopped) })
	defer ends.Wait()
	defer close(stopped)
	grace := time.NewTimer(m.options.Grace)
	defer grace.Stop()
	if m.retireAll(grace.C) {
		m.setAllModes(stopping)
		last := time.NewTimer(closedPodsWait)
		defer last.Stop()
		select {
		case <-done:
			return nil
		case <-grace.C:
		case <-last.C:
		}
	}
	m.setAllModes(aborting)
	last := time.NewTimer(forcedStopWait)
	defer last.Stop()
	select {
	case <-done:
		return nil
	case <-last.C:
		return fmt.Errorf("capture: %d connections are still being served %s after they were closed", m.load.connections.Load(), forcedStopWait)
	}
}

// followEnds ends the captures of pods that end while the manager stops, which takes long: nothing must hold their namespaces.
func (m *Manager) followEnds(stopped <-chan struct{}) {
	for {
		if sandboxes, known := m.options.Sandboxes.Sandboxes(); known {
			m.followEnd(sandboxes)
		}
		select {
		case <-m.options.Sandboxes.Changed():
		case <-stopped:
			return
		}
	}
}

// retireAll retires all pods that need not be served, and reports whether that was done before time was up.
func (m *Manager) retireAll(up <-chan time.Time) bool {
	for {
		pending, progress := m.retireMore()
		m.stopping.Store(true)
		if pending == 0 {
			return true
		}
		select {
		case <-progress:
		case <-up:
			return false
		}
	}
}

// retireMore has all pods retire that need not be served, and returns how many have not finished, and a channel that is closed when one has gone on.
func (m *Manager) retireMore() (pending int, progress <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.allCaptures() {
		if p.mustServe() {
			continue
		}
		pending++
		if p.currentGoal().mode < stopping {
			p.setMode(stopping)
		}
	}
	return pending, m.progress
}

// setAllModes gives all captures another mode.
func (m *Manager) setAllModes(next mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.allCaptures() {
		p.setMode(next)
	}
}

// allCaptures are the captures there are, those of former sandboxes too. mu is held.
func (m *Manager) allCaptures() map[*podCapture]struct{} {
	all := maps.Clone(m.former)
	for _, p := range m.captures {
		all[p] = struct{}{}
	}
	return all
}
