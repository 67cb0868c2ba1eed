package distribute

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// silentAfter is how many intervals of reports after a node's last one the calls of its pods no longer count for a rate: its agent is gone,
// and with it the policy's part in them.
const silentAfter = 3

// callRate is how many calls a node reported in a sum, and for how much of the window. An agent that restarts leaves a gap in both and
// nothing else. It is small, since there may be one for each node and destination.
type callRate struct {
	upTo  instant // the end of what is covered
	slots [bucketsIn]rateSlot
}

// rateSlot is what was reported in one slot of time.
type rateSlot struct {
	slot    uint32 // time in bucketSpans
	calls   uint32
	covered uint32 // milliseconds
}

// count adds a report made at end about the time span before it. What reports of two agents of a node overlap in, while an upgrade
// surges, is covered once.
func (r *callRate) count(end instant, span time.Duration, calls uint64) {
	from := max(end.add(-span), r.upTo)
	at := r.at(uint32(end.slot()))
	if at == nil {
		return
	}
	at.calls += uint32(min(calls, uint64(math.MaxUint32-at.calls)))
	if covered := end.sub(from); covered > 0 {
		at.covered += uint32(covered.Milliseconds())
		r.upTo = end
	}
}

// at returns the place of a slot, or nil if a newer one has taken it.
func (r *callRate) at(slot uint32) *rateSlot {
	at := &r.slots[int64(slot)%bucketsIn]
	switch {
	case at.slot < slot:
		*at = rateSlot{slot: slot}
	case at.slot > slot:
		return nil
	}
	return at
}

// since returns a rate that covers what r does from a time on, with no calls.
func (r *callRate) since(from instant) *callRate {
	out := &callRate{upTo: r.upTo}
	for i, slot := range r.slots {
		if int64(slot.slot) > from.slot() {
			out.slots[i] = rateSlot{slot: slot.slot, covered: slot.covered}
		}
	}
	return out
}

// totals returns the calls of the window and the time they were counted for.
func (r *callRate) totals(now instant) (calls uint64, covered time.Duration) {
	newest := now.slot()
	for _, slot := range r.slots {
		if at := int64(slot.slot); at > newest-bucketsIn && at <= newest {
			calls += uint64(slot.calls)
			covered += time.Duration(slot.covered) * time.Millisecond
		}
	}
	return calls, covered
}

// countRate counts an entry of a report in the node's rate. The rate is made with the first calls, which may have come after a time without
// any: that counts, unless the report says that there was nothing to count them before. The caller holds the policy's lock.
func (n *nodeTraffic) countRate(o *observation, s *sum, entry *policy.Traffic) {
	if o.age >= Window {
		return
	}
	r, span := s.rates[n], o.span(entry)
	if r == nil {
		if entry.Counts.Requests == 0 {
			return
		}
		r = &callRate{}
		if span > o.covered*9/10 {
			r = n.all.since(s.madeAt)
		}
		s.rates[n], n.rates[s] = r, struct{}{}
	}
	r.count(o.end(), span, entry.Counts.Requests)
}

// ageRates counts a report in the node's rates at destinations without an entry in it, and drops those without calls in the window and those
// of destinations that the node no longer has.
func (n *nodeTraffic) ageRates(o *observation) {
	if o.age >= Window {
		return
	}
	n.all.count(o.end(), o.covered, 0)
	n.silentFrom.Store(int64(n.all.upTo.add(silentAfter * o.covered)))
	for s := range n.rates {
		_, counted := n.counted[s]
		s.of.mu.Lock()
		r := s.rates[n]
		if !counted {
			r.count(o.end(), o.covered, 0)
		}
		if calls, _ := r.totals(o.at); calls == 0 || o.allowed.sum(s.key) != s {
			delete(s.rates, n)
			delete(n.rates, s)
		}
		s.of.mu.Unlock()
	}
}

// sweepRates forgets the rates of a node that has not reported for so long that nothing of it is in the window.
func (n *nodeTraffic) sweepRates(now instant) {
	if now.sub(n.all.upTo) <= 2*Window {
		return
	}
	for s := range n.rates {
		s.of.mu.Lock()
		delete(s.rates, n)
		s.of.mu.Unlock()
		delete(n.rates, s)
	}
}

// rate returns the calls per second of the nodes that report, and the most of the window that one of them covers. The caller holds the
// policy's lock.
func (s *sum) rate(now instant) (perSecond float64, covered time.Duration) {
	for n, r := range s.rates {
		calls, over := r.totals(now)
		covered = max(covered, over)
		if int64(now) < n.silentFrom.Load() && over > 0 {
			perSecond += float64(calls) / max(over, time.Second).Seconds()
		}
	}
	return perSecond, covered
}
