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

// stop ends all doors. It begins with those of pods that can do without, and waits for their connections to end. A pod that is to be closed without
// an agent, and that no other agent has taken over, is served until then: its connections would be refused for as long as anybody's
// last.
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

// followEnds closes the doors of pods that end while the manager stops, which takes long: nothing must hold their namespaces.
func (m *Manager) followEnds(stopped <-chan struct{}) {
	for {
		if sandboxes, known := m.options.Sandboxes.Sandboxes(); known {
			m.mu.Lock()
			m.endMissing(sandboxes)
			m.mu.Unlock()
		}
		select {
		case <-m.options.Sandboxes.Changed():
		case <-stopped:
			return
		}
	}
}

// retireAll closes all doors but the indispensable, and says whether that was done before time was up.
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

// retireMore asks all doors to close that are not indispensable, and says how many are at it, and when there is something new.
func (m *Manager) retireMore() (pending int, progress <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.allCaptures() {
		if d.mustServe() {
			continue
		}
		pending++
		if d.currentGoal().mode < stopping {
			d.setMode(stopping)
		}
	}
	return pending, m.progress
}

// mustServe says that a door is open without which its pod's calls are refused.
func (d *podCapture) mustServe() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.goal.mode == capturing && d.goal.spec.Redirect.FailClosed && d.status.captured && !d.status.superseded
}

// setAllModes gives all doors another mode.
func (m *Manager) setAllModes(next mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.allCaptures() {
		d.setMode(next)
	}
}

// allCaptures are the doors there are, those of former sandboxes too. mu is held.
func (m *Manager) allCaptures() map[*podCapture]struct{} {
	all := maps.Clone(m.former)
	for _, d := range m.captures {
		all[d] = struct{}{}
	}
	return all
}
