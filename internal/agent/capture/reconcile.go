package capture

import "fairlead.dev/fairlead/internal/agent/capture/pods"

// reconcile brings together which pods are wanted and where pods are.
func (m *Manager) reconcile() {
	sandboxes, known := m.options.Sandboxes.Sandboxes()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.desired == nil || !known {
		return
	}
	m.endMissing(sandboxes)
	missing := false
	for uid, spec := range m.desired {
		s, runs := sandboxes[uid]
		missing = missing || !runs
		if runs && !s.Host && s.Err == nil {
			m.setGoal(uid, s, goal{mode: capturing, spec: spec, revision: m.revision})
		}
	}
	for uid, p := range m.captures {
		if _, wanted := m.desired[uid]; !wanted {
			p.setGoal(goal{mode: retiring, spec: PodSpec{Pod: p.sandbox.Pod}, revision: m.revision})
		}
	}
	m.sweep(sandboxes)
	if missing && m.reconciled < m.revision {
		m.options.Sandboxes.Hurry()
	}
	m.reconciled = m.revision
	m.notifyProgressLocked()
}

// sweep checks every sandbox that is not wanted once for what an earlier agent may have left. The first list of sandboxes may be
// incomplete, and creation times do not say reliably which of them are older than this agent, so none is left out. mu is held.
func (m *Manager) sweep(sandboxes map[string]pods.Sandbox) {
	swept := make(map[string]struct{}, len(sandboxes))
	for uid, s := range sandboxes {
		swept[s.ID] = struct{}{}
		if _, done := m.swept[s.ID]; done {
			continue
		}
		if _, wanted := m.desired[uid]; !wanted && !s.Host && s.Err == nil {
			m.setGoal(uid, s, goal{mode: retiring, spec: PodSpec{Pod: s.Pod}, revision: m.revision})
		}
	}
	m.swept = swept
}

// setGoal gives the pod's podCapture a goal, making it if there is none. mu is held.
func (m *Manager) setGoal(uid string, s pods.Sandbox, g goal) {
	if p := m.captures[uid]; p != nil {
		p.setGoal(g)
		return
	}
	p := newPodCapture(m, s, g)
	m.captures[uid] = p
	m.byUID.Store(uid, p)
	m.wg.Go(p.run)
}

// followEnd is endMissing without the lock.
func (m *Manager) followEnd(sandboxes map[string]pods.Sandbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endMissing(sandboxes)
}

// endMissing ends the captures whose pod or sandbox is gone. mu is held.
func (m *Manager) endMissing(sandboxes map[string]pods.Sandbox) {
	for uid, p := range m.captures {
		if s, runs := sandboxes[uid]; !runs || s.ID != p.sandbox.ID {
			m.forget(p)
			m.former[p] = struct{}{}
			p.setGoal(goal{mode: ended, spec: PodSpec{Pod: p.sandbox.Pod}, revision: m.revision})
		}
	}
}

// forget makes p the capture of its pod no more, if it is. mu is held.
func (m *Manager) forget(p *podCapture) {
	if uid := p.sandbox.Pod.UID; m.captures[uid] == p {
		delete(m.captures, uid)
		m.byUID.Delete(uid)
	}
}

// finish removes a podCapture that has reached the goal g, unless it has got another goal meanwhile.
func (m *Manager) finish(p *podCapture, g goal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.currentGoal().mode != g.mode {
		return false
	}
	m.forget(p)
	delete(m.former, p)
	m.notifyProgressLocked()
	return true
}
