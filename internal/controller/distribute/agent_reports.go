package distribute

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// policySet is a set of policies; nil is the empty one.
type policySet map[policy.ID]struct{}

func (s *policySet) add(ids ...policy.ID) {
	for _, id := range ids {
		if *s == nil {
			*s = policySet{}
		}
		(*s)[id] = struct{}{}
	}
}

// agentReports is what is kept of one agent's reports. Guarded by nodeTraffic.mu.
type agentReports struct {
	streams     int
	hasFindings bool
	gauges      map[*sum]struct{} // those in which it has a gauge
	processes   [2]process        // the latest first
	goneAt      instant           // when its last stream ended
}

// process is one run of an agent. What one sends may arrive when the next has begun to report, so that two are remembered.
type process struct {
	instance, sequence uint64 // sequence: last counted
}

// first reports whether a report was not counted before, and records it.
func (r *agentReports) first(instance, sequence uint64) bool {
	for i := range r.processes {
		p := &r.processes[i]
		if p.sequence == 0 || p.instance != instance {
			continue
		}
		fresh := sequence > p.sequence
		p.sequence = max(p.sequence, sequence)
		return fresh
	}
	r.processes[1] = r.processes[0]
	r.processes[0] = process{instance: instance, sequence: sequence}
	return sequence > 0
}

// streamStarted records that a report stream of the agent began.
func (t *traffic) streamStarted(a agentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[a.node]
	if n == nil {
		n = &nodeTraffic{agents: map[string]*agentReports{}, rates: map[*sum]struct{}{}, counted: map[*sum]struct{}{}, lost: map[*sum]struct{}{}}
		t.nodes[a.node] = n
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.agents[a.agent]
	if r == nil {
		r = &agentReports{gauges: map[*sum]struct{}{}}
		n.agents[a.agent] = r
	}
	r.streams++
}

// streamEnded records that a report stream of the agent ended, and with the last one drops what held only while it lasted. It returns the
// policies whose status should be updated soon.
func (t *traffic) streamEnded(a agentID, now time.Time) policySet {
	n := t.node(a.node)
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.agents[a.agent]
	if r.streams--; r.streams > 0 {
		return nil
	}
	r.goneAt = t.at(now)
	changed := n.loseGauges(r)
	if r.hasFindings {
		r.hasFindings = false
		changed = t.findings.set(a, podFindings{}, changed)
	}
	return changed
}

// sameSince is how far two reports of one change of a breaker's state may lie apart: they travel for a while.
const sameSince = 2 * time.Second

// gauge is what holds at one destination at present, by one agent's last report.
type gauge struct {
	open, halfOpen int
	since          instant // of the worst state of the breakers; of no account while all are closed
	connections    int
	opaque         int
	ejected        int // endpoints
	dryOpen        int // breakers that a dry run would have open
}

// gaugeOf returns the gauge in an entry of a report, given that of the report before.
func gaugeOf(o *observation, entry *policy.Traffic, before gauge) gauge {
	g := gauge{
		connections: max(entry.Connections, 0), opaque: max(entry.OpaqueOpen, 0),
		ejected: max(entry.Ejected, 0), dryOpen: max(entry.DryBreakersOpen, 0),
	}
	g.halfOpen = max(min(entry.BreakersHalfOpen, entry.BreakersOpen), 0)
	g.open = max(entry.BreakersOpen, 0) - g.halfOpen
	if g.state() == 0 {
		return g
	}
	if entry.BreakerAge > 0 {
		g.since = o.end().add(-entry.BreakerAge)
	} else {
		g.since = o.end() // not in the report: since the first report of it
	}
	if same := g.state() == before.state(); same && (entry.BreakerAge <= 0 || g.since.sub(before.since).Abs() < sameSince) {
		g.since = before.since
	}
	return g
}

// state orders the worst state of the breakers: 0 closed, 1 half-open, 2 open.
func (g *gauge) state() int {
	switch {
	case g.open > 0:
		return 2
	case g.halfOpen > 0:
		return 1
	}
	return 0
}

// differs reports whether statuses should say soon that a gauge has become another one.
func (g *gauge) differs(o *gauge) bool {
	return g.state() != o.state() || (g.ejected > 0) != (o.ejected > 0)
}

// setGauge replaces the agent's gauge at a destination. The caller holds the policy's lock.
func (r *agentReports) setGauge(s *sum, g gauge) {
	if g == (gauge{}) {
		delete(s.gauges, r)
		delete(r.gauges, s)
		return
	}
	s.gauges[r] = g
	r.gauges[s] = struct{}{}
}

// dropGauges removes the agent's gauges except those at some destinations, because a report has none there, and adds to changed the policies
// whose breakers were not closed, or whose endpoints were not all in.
func (r *agentReports) dropGauges(except map[*sum]struct{}, changed policySet) policySet {
	for s := range r.gauges {
		if _, stays := except[s]; stays {
			continue
		}
		s.of.mu.Lock()
		was := s.gauges[r]
		delete(s.gauges, r)
		if was.state() != 0 {
			s.closings++
		}
		if was.differs(&gauge{}) {
			changed.add(s.key.policy)
		}
		s.of.mu.Unlock()
		delete(r.gauges, s)
	}
	return changed
}
