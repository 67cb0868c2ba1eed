package distribute

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// silentAfter is how long after a node's last report the calls of its pods no longer count for a rate: its agent is gone, and with it the
// policy's part in them.
const silentAfter = 3 * bucketSpan

// callRate is one node's part of a sum, for its rate: how many calls were reported, and for how much of the window. An agent that restarts
// leaves a gap in both and nothing else. It is small, since there may be one for each node and destination.
type callRate struct {
	upTo  moment // the end of what is covered
	slots [bucketsIn]rateSlot
}

// rateSlot is what was reported in one slot of time.
type rateSlot struct {
	slot    uint32 // time in bucketSpans
	calls   uint32
	covered uint32 // milliseconds
}

// count adds a report drawn up at end about the time span before it. What reports of two agents of a node overlap in, while an upgrade
// surges, is covered once.
func (s *callRate) count(end moment, span time.Duration, calls uint64) {
	from := max(end.add(-span), s.upTo)
	at := s.at(uint32(end.slot()))
	if at == nil {
		return
	}
	at.calls += uint32(min(calls, uint64(math.MaxUint32-at.calls)))
	if covered := end.sub(from); covered > 0 {
		at.covered += uint32(covered.Milliseconds())
		s.upTo = end
	}
}

// at returns the place of a slot, or nil if a newer one has taken it.
func (s *callRate) at(slot uint32) *rateSlot {
	at := &s.slots[int64(slot)%bucketsIn]
	switch {
	case at.slot < slot:
		*at = rateSlot{slot: slot}
	case at.slot > slot:
		return nil
	}
	return at
}

// since returns a share that covers what s does from a time on, with no calls.
func (s *callRate) since(from moment) *callRate {
	out := &callRate{upTo: s.upTo}
	for i, slot := range s.slots {
		if int64(slot.slot) > from.slot() {
			out.slots[i] = rateSlot{slot: slot.slot, covered: slot.covered}
		}
	}
	return out
}

// totals returns the calls of the window and the time they were counted for.
func (s *callRate) totals(now moment) (calls uint64, covered time.Duration) {
	newest := now.slot()
	for _, slot := range s.slots {
		if at := int64(slot.slot); at > newest-bucketsIn && at <= newest {
			calls += uint64(slot.calls)
			covered += time.Duration(slot.covered) * time.Millisecond
		}
	}
	return calls, covered
}

// nodeRates is what is remembered of a node for rates. Guarded by traffic.mu.
type nodeRates struct {
	all  callRate                   // covers what any report of the node does
	keys map[trafficKey]struct{} // under which the node has a share
}

// countRates counts a report of a node in its shares. A destination that it does not speak of had no calls.
func (t *traffic) countRates(o *observation) {
	if o.age >= Window {
		return
	}
	n := t.nodes[o.agent.node]
	if n == nil {
		n = &nodeRates{keys: map[trafficKey]struct{}{}}
		t.nodes[o.agent.node] = n
	}
	end := o.end()
	told := map[trafficKey]struct{}{}
	for i := range o.report.Traffic {
		entry := &o.report.Traffic[i]
		key := trafficKey{entry.Policy, entry.Target}
		if _, ok := o.allowed[key]; !ok {
			continue
		}
		if sh := t.rateFor(o.agent.node, n, key, entry); sh != nil {
			sh.count(end, spanOf(entry), entry.Counts.Requests)
			told[key] = struct{}{}
		}
	}
	n.all.count(end, bucketSpan, 0)
	t.ageRates(o, n, told)
}

// spanOf returns the time that the counts of a report are about.
func spanOf(entry *policy.Traffic) time.Duration {
	if entry.Covered <= 0 || entry.Covered > Window {
		return bucketSpan
	}
	return entry.Covered
}

// rateFor returns the share of a node in a sum. It is made with the first calls, which may have come after a time without any: that
// counts, unless the report says that there was nothing to count them before.
func (t *traffic) rateFor(node string, n *nodeRates, key trafficKey, entry *policy.Traffic) *callRate {
	s := t.sums[key.policy][key.target]
	if s == nil {
		return nil
	}
	sh := s.rates[node]
	if sh == nil && entry.Counts.Requests > 0 {
		sh = &callRate{}
		if spanOf(entry) > bucketSpan*9/10 {
			sh = n.all.since(s.madeAt)
		}
		s.rates[node], n.keys[key] = sh, struct{}{}
	}
	return sh
}

// ageRates counts a report in the shares of the node that it did not speak of, and drops those without calls in the window and those
// of destinations that the node no longer has.
func (t *traffic) ageRates(o *observation, n *nodeRates, told map[trafficKey]struct{}) {
	for key := range n.keys {
		var sh *callRate
		s := t.sums[key.policy][key.target]
		if s != nil {
			sh = s.rates[o.agent.node]
		}
		if sh == nil {
			delete(n.keys, key)
			continue
		}
		if _, ok := told[key]; !ok {
			sh.count(o.end(), bucketSpan, 0)
		}
		_, has := o.allowed[key]
		if calls, _ := sh.totals(o.at); calls == 0 || !has {
			delete(s.rates, o.agent.node)
			delete(n.keys, key)
		}
	}
}

// sweepRates forgets nodes that have not reported for so long that nothing of theirs is in the window.
func (t *traffic) sweepRates(now moment) {
	for name, n := range t.nodes {
		if now.sub(n.all.upTo) <= 2*Window {
			continue
		}
		for key := range n.keys {
			if s := t.sums[key.policy][key.target]; s != nil {
				delete(s.rates, name)
			}
		}
		delete(t.nodes, name)
	}
}

// rate returns the calls per second of the nodes that report, and the most of the window that one of them covers.
func (s *sum) rate(now moment, nodes map[string]*nodeRates) (perSecond float64, covered time.Duration) {
	for name, sh := range s.rates {
		calls, over := sh.totals(now)
		covered = max(covered, over)
		if n := nodes[name]; n != nil && now.sub(n.all.upTo) < silentAfter && over > 0 {
			perSecond += float64(calls) / max(over, time.Second).Seconds()
		}
	}
	return perSecond, covered
}
