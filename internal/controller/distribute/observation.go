package distribute

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// observation is a report as it arrived.
type observation struct {
	agent              agentID
	instance, sequence uint64
	at                 instant
	age                time.Duration
	covered            time.Duration // since the report before
	report             *policy.Report
	allowed            *reportable
}

// end is when the time ended that the report is about.
func (o *observation) end() instant { return o.at.add(-o.age) }

// span returns the time that an entry of the report is about.
func (o *observation) span(entry *policy.Traffic) time.Duration {
	if entry.Covered <= 0 || entry.Covered > Window {
		return o.covered
	}
	return entry.Covered
}

// add counts o unless its sequence was counted before, which it reports, and returns the policies whose status should be updated soon.
func (t *traffic) add(o *observation) (changed policySet, counted bool) {
	n := t.node(o.agent.node)
	if n == nil {
		return nil, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.agents[o.agent.agent]
	if r == nil || !r.first(o.instance, o.sequence) {
		return nil, false
	}
	t.comparisons.count(o)
	changed = n.count(o, r)
	next := podFindingsOf(o.report, o.allowed)
	if !next.empty() || r.hasFindings {
		r.hasFindings = !next.empty()
		changed = t.findings.set(o.agent, next, changed)
	}
	return changed, true
}

// count counts a report of the node, and returns the policies with a destination at which the state of the agent's breakers has changed.
func (n *nodeTraffic) count(o *observation, r *agentReports) policySet {
	var changed policySet
	clear(n.counted)
	for i := range o.report.Traffic {
		entry := &o.report.Traffic[i]
		s := o.allowed.sum(trafficKey{entry.Policy, entry.Target})
		if s == nil {
			continue
		}
		n.counted[s] = struct{}{}
		s.of.mu.Lock()
		was := s.gauges[r]
		is := gaugeOf(o, entry, was)
		s.count(o.end(), o.age, entry)
		r.setGauge(s, is)
		n.countRate(o, s, entry)
		if was.state() != 0 && is.state() == 0 {
			s.closings++
		}
		s.of.mu.Unlock()
		if was.differs(&is) {
			changed.add(s.key.policy)
		}
	}
	changed = r.dropGauges(n.counted, changed)
	changed = n.findLost(r, changed)
	// A destination without an entry had no calls.
	for _, s := range o.allowed.sums {
		s.reportedUpTo(o.end())
	}
	n.ageRates(o)
	return changed
}
