package distribute

import (
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Comparison is which calls to count apart for a policy: those on some of the nodes, and those on all others.
type Comparison struct {
	// Of are where agents report the calls.
	Of map[CallsOf]struct{}
	// On reports whether a node is one of those. It is called with locks held and must not block.
	On func(node string) bool
}

// CallsOf is under which policy and destination agents report calls.
type CallsOf struct {
	Policy policy.ID
	Target string
}

// Compared are the calls on the nodes of a Comparison, and on the others.
type Compared struct{ On, Others CallCount }

// CallCount counts calls that ended, and how many of them ended well.
type CallCount struct{ Calls, Successes uint64 }

func (c *CallCount) add(counts *policy.Counts) {
	c.Calls += counts.Requests
	c.Successes += min(counts.Successes, counts.Requests)
}

// comparisons are those of all policies.
type comparisons struct {
	some atomic.Bool // there are any

	mu sync.Mutex
	// guarded by mu
	of map[policy.ID]*comparison
}

// comparison is a Comparison and what was counted for it since it was asked last.
type comparison struct {
	Comparison
	from  instant // of reports about earlier times nothing is counted
	since Compared
}

// StartComparison counts calls apart for a policy from now on, in place of what was counted for it.
func (s *Store) StartComparison(id policy.ID, c Comparison) {
	t := &s.traffic.comparisons
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of[id] = &comparison{Comparison: c, from: s.traffic.at(time.Now())}
	t.some.Store(true)
}

// Compared returns the calls that were reported for a policy since it was asked last.
func (s *Store) Compared(id policy.ID) Compared {
	t := &s.traffic.comparisons
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.of[id]
	if c == nil {
		return Compared{}
	}
	out := c.since
	c.since = Compared{}
	return out
}

// EndComparison counts nothing apart for a policy any more.
func (s *Store) EndComparison(id policy.ID) {
	t := &s.traffic.comparisons
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, id)
	t.some.Store(len(t.of) > 0)
}

// count counts a report for whom it concerns.
func (t *comparisons) count(o *observation) {
	if !t.some.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.of {
		to := &c.since.Others
		if c.On(o.agent.node) {
			to = &c.since.On
		}
		for i := range o.report.Traffic {
			entry := &o.report.Traffic[i]
			if _, wanted := c.Of[CallsOf{entry.Policy, entry.Target}]; !wanted || o.end().add(-o.span(entry)) < c.from {
				continue
			}
			if o.allowed.sum(trafficKey{entry.Policy, entry.Target}) != nil {
				to.add(&entry.Counts)
			}
		}
	}
}
