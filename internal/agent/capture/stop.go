package capture

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

const (
	// forced bounds the wait for handlers whose connections have been closed.
	forced = 5 * time.Second
	// refusing bounds the wait for connections of pods whose new ones are refused meanwhile.
	refusing = 20 * time.Second
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
	if m.release(grace.C) {
		m.aimAll(stopping)
		last := time.NewTimer(refusing)
		defer last.Stop()
		select {
		case <-done:
			return nil
		case <-grace.C:
		case <-last.C:
		}
	}
	m.aimAll(aborting)
	last := time.NewTimer(forced)
	defer last.Stop()
	select {
	case <-done:
		return nil
	case <-last.C:
		return fmt.Errorf("capture: %d connections are still being served %s after they were closed", m.load.connections.Load(), forced)
	}
}

// followEnds closes the doors of pods that end while the manager stops, which takes long: nothing must hold their namespaces.
func (m *Manager) followEnds(stopped <-chan struct{}) {
	for {
		if sandboxes, known := m.options.Sandboxes.Sandboxes(); known {
			m.mu.Lock()
			m.endGone(sandboxes)
			m.mu.Unlock()
		}
		select {
		case <-m.options.Sandboxes.Changed():
		case <-stopped:
			return
		}
	}
}

// release closes all doors but the indispensable, and says whether that was done before time was up.
func (m *Manager) release(up <-chan time.Time) bool {
	for {
		pending, progress := m.releaseMore()
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

// releaseMore asks all doors to close that are not indispensable, and says how many are at it, and when there is something new.
func (m *Manager) releaseMore() (pending int, progress <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.all() {
		if d.indispensable() {
			continue
		}
		pending++
		if d.aimed().mode < stopping {
			d.aimMode(stopping)
		}
	}
	return pending, m.progress
}

// indispensable says that a door is open without which its pod's calls are refused.
func (d *door) indispensable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.goal.mode == capturing && d.goal.spec.Redirect.FailClosed && d.report.captured && !d.report.passive
}

// aimAll gives all doors another mode.
func (m *Manager) aimAll(next mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.all() {
		d.aimMode(next)
	}
}

// all are the doors there are, those of former sandboxes too. mu is held.
func (m *Manager) all() map[*door]struct{} {
	all := maps.Clone(m.rest)
	for _, d := range m.doors {
		all[d] = struct{}{}
	}
	return all
}
