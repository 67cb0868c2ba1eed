package distribute

// loseGauges removes the gauges of an agent that has gone, and returns the policies whose breakers were not closed. These are lost: they are
// neither open nor closed until an agent of the node reports.
func (n *nodeTraffic) loseGauges(a agentID, r *agentReports) policySet {
	var changed policySet
	for key, s := range r.gauges {
		s.of.mu.Lock()
		was := s.gauges[a]
		delete(s.gauges, a)
		if was.state() != 0 {
			s.lost[n] += was.open + was.halfOpen
			n.lost[key] = s
			changed.add(key.policy)
		}
		s.of.mu.Unlock()
	}
	clear(r.gauges)
	return changed
}

// findLost records that an agent of the node has reported: lost breakers that it does not report are closed. It adds to changed the policies
// of these.
func (n *nodeTraffic) findLost(a agentID, changed policySet) policySet {
	for key, s := range n.lost {
		s.of.mu.Lock()
		delete(s.lost, n)
		if g := s.gauges[a]; g.state() == 0 {
			s.closings++
			changed.add(key.policy)
		}
		s.of.mu.Unlock()
	}
	clear(n.lost)
	return changed
}

// forgetLost records that no agent of the node comes back.
func (n *nodeTraffic) forgetLost() {
	for _, s := range n.lost {
		s.of.mu.Lock()
		delete(s.lost, n)
		s.of.mu.Unlock()
	}
	clear(n.lost)
}
