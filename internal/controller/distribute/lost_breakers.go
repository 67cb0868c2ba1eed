package distribute

// loseGauges removes the gauges of an agent that has gone, and returns the policies whose breakers were not closed, or whose endpoints not all in. The former are lost: they are
// neither open nor closed until an agent of the node reports.
func (n *nodeTraffic) loseGauges(r *agentReports) policySet {
	var changed policySet
	for s := range r.gauges {
		s.of.mu.Lock()
		was := s.gauges[r]
		delete(s.gauges, r)
		if was.state() != 0 {
			s.lost[n] += was.open + was.halfOpen
			n.lost[s] = struct{}{}
		}
		if was.differs(&gauge{}) {
			changed.add(s.key.policy)
		}
		s.of.mu.Unlock()
	}
	clear(r.gauges)
	return changed
}

// findLost records that an agent of the node has reported: lost breakers that it does not report are closed. It adds to changed the policies
// of these.
func (n *nodeTraffic) findLost(r *agentReports, changed policySet) policySet {
	for s := range n.lost {
		s.of.mu.Lock()
		delete(s.lost, n)
		if g := s.gauges[r]; g.state() == 0 {
			s.closings++
			changed.add(s.key.policy)
		}
		s.of.mu.Unlock()
	}
	clear(n.lost)
	return changed
}

// forgetLost records that no agent of the node comes back.
func (n *nodeTraffic) forgetLost() {
	for s := range n.lost {
		s.of.mu.Lock()
		delete(s.lost, n)
		s.of.mu.Unlock()
	}
	clear(n.lost)
}
