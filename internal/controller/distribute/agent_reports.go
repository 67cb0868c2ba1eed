package distribute

import (
	"slices"
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

// agentReports is what is remembered of an agent. Guarded by traffic.mu.
type agentReports struct {
	streams   int
	findings  podFindings
	gauges    map[trafficKey]struct{} // under which it has gauges
	processes [2]process              // the latest first
	goneAt    moment                  // when its last stream ended
}

// process is one run of an agent. What one sends may arrive when the next has begun to report, so that two are remembered.
type process struct {
	instance, sequence uint64 // sequence: last counted
}

// first reports whether a report was not counted before, and takes note of it.
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

// podFindings is what an agent said of pods, and what holds until it says something else or goes.
type podFindings struct {
	problems, notices []policy.CaptureProblem
	older             []policy.OlderConnections
}

// podFindingsOf returns what a report says of the pods of some policies.
func podFindingsOf(r *policy.Report, mine policySet) podFindings {
	s := podFindings{problems: allowedProblems(r.Problems, mine), notices: allowedProblems(r.Notices, mine)}
	for _, o := range r.Older {
		if _, ok := mine[o.Policy]; ok && o.Connections > 0 {
			s.older = append(s.older, o)
		}
	}
	return s
}

func allowedProblems(problems []policy.CaptureProblem, mine policySet) []policy.CaptureProblem {
	var out []policy.CaptureProblem
	for _, p := range problems {
		p.Policies = slices.DeleteFunc(slices.Clone(p.Policies), func(id policy.ID) bool {
			_, ok := mine[id]
			return !ok
		})
		if len(p.Policies) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// policies returns what s is about.
func (s *podFindings) policies() policySet {
	var out policySet
	for _, list := range [][]policy.CaptureProblem{s.problems, s.notices} {
		for _, p := range list {
			out.add(p.Policies...)
		}
	}
	for _, o := range s.older {
		out.add(o.Policy)
	}
	return out
}

// sameText reports whether o says the same but for numbers.
func (s *podFindings) sameText(o *podFindings) bool {
	same := func(a, b policy.CaptureProblem) bool {
		return a.Namespace == b.Namespace && a.Pod == b.Pod && a.Reason == b.Reason && a.Message == b.Message && slices.Equal(a.Policies, b.Policies)
	}
	return slices.EqualFunc(s.problems, o.problems, same) && slices.EqualFunc(s.notices, o.notices, same) &&
		slices.EqualFunc(s.older, o.older, func(a, b policy.OlderConnections) bool { return a.Policy == b.Policy })
}

// setFindings replaces what is known of an agent's pods. It returns changed with the policies of which something else is said now.
func (t *traffic) setFindings(a agentID, r *agentReports, next podFindings, changed policySet) policySet {
	was, is := r.findings.policies(), next.policies()
	if !r.findings.sameText(&next) {
		for _, ids := range []policySet{was, is} {
			for id := range ids {
				changed.add(id)
			}
		}
	}
	r.findings = next
	for id := range was {
		if _, still := is[id]; still {
			continue
		}
		if delete(t.concerned[id], a); len(t.concerned[id]) == 0 {
			delete(t.concerned, id)
		}
	}
	for id := range is {
		if t.concerned[id] == nil {
			t.concerned[id] = map[agentID]struct{}{}
		}
		t.concerned[id][a] = struct{}{}
	}
	return changed
}

// streamStarted notes that a report stream of the agent began.
func (t *traffic) streamStarted(a agentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[a]
	if r == nil {
		r = &agentReports{gauges: map[trafficKey]struct{}{}}
		t.agents[a] = r
	}
	r.streams++
}

// streamEnded notes that a report stream of the agent ended, and with the last one drops what was true only while it lasted. It returns the
// policies of which something else is known now.
func (t *traffic) streamEnded(a agentID, now time.Time) policySet {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[a]
	if r.streams--; r.streams > 0 {
		return nil
	}
	r.goneAt = t.at(now)
	changed := t.changedGauges(a, r, t.takeGauges(a, r))
	return t.setFindings(a, r, podFindings{}, changed)
}

// sameSince is how far two reports of one change of a breaker's state may lie apart: they travel for a while.
const sameSince = 2 * time.Second

// gauge is what holds at one destination at present, as one agent says.
type gauge struct {
	open, halfOpen int
	since          moment // of the worst state of the breakers; of no account while all are closed
	connections    int
	opaque         int
}

// gaugeOf returns what a report says of a destination, given what the one before said.
func gaugeOf(o *observation, entry *policy.Traffic, before gauge) gauge {
	g := gauge{connections: max(entry.Connections, 0), opaque: max(entry.OpaqueOpen, 0)}
	g.halfOpen = max(min(entry.BreakersHalfOpen, entry.BreakersOpen), 0)
	g.open = max(entry.BreakersOpen, 0) - g.halfOpen
	if g.state() == 0 {
		return g
	}
	if entry.BreakerAge > 0 {
		g.since = o.end().add(-entry.BreakerAge)
	} else {
		g.since = o.end() // the agent does not say: since it said so first
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

// takeGauges removes an agent's gauges and returns them.
func (t *traffic) takeGauges(a agentID, r *agentReports) map[trafficKey]gauge {
	if len(r.gauges) == 0 {
		return nil
	}
	out := make(map[trafficKey]gauge, len(r.gauges))
	for k := range r.gauges {
		if s := t.sums[k.policy][k.target]; s != nil {
			out[k] = s.gauges[a]
			delete(s.gauges, a)
		}
	}
	clear(r.gauges)
	return out
}

// changedGauges returns the policies with a destination at which the state of an agent's breakers is not as it was before.
func (t *traffic) changedGauges(a agentID, r *agentReports, before map[trafficKey]gauge) policySet {
	var changed policySet
	look := func(k trafficKey) {
		var is gauge
		if s := t.sums[k.policy][k.target]; s != nil {
			is = s.gauges[a]
		}
		if was := before[k]; was.state() != is.state() {
			changed.add(k.policy)
		}
	}
	for k := range before {
		look(k)
	}
	for k := range r.gauges {
		look(k)
	}
	return changed
}
