package distribute

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// Window is the time that Figures cover.
	Window = time.Minute
	// bucketSpan is the window's resolution, and the shortest interval of reports.
	bucketSpan = 5 * time.Second
	bucketsIn  = int64(Window / bucketSpan)
)

// instant is a point in time of this process: the time since traffic.epoch by the monotonic clock. Reports are placed and ordered by it
// alone: neither an agent's clock nor the manager's being set changes what is counted when. Zero is never.
type instant time.Duration

func (m instant) sub(o instant) time.Duration { return time.Duration(m - o) }
func (m instant) add(d time.Duration) instant { return m + instant(d) }
func (m instant) slot() int64                 { return int64(m) / int64(bucketSpan) }

// traffic sums reports per policy and destination. Only destinations of published profiles are known, and the gauges and findings of an
// agent go when it does, so memory is bounded by what is published and who is connected.
//
// A report takes the lock of its node, and then, for one entry at a time, that of the policy; so reports hold up neither each other nor
// whoever asks for figures. Locks are taken in the order mu, nodeTraffic.mu, policyTraffic.mu.
type traffic struct {
	epoch    time.Time // immutable; long before the first instant that is asked about
	findings findings
	// comparisons have a lock of their own, which is taken last.
	comparisons comparisons

	mu sync.RWMutex
	// guarded by mu
	policies map[policy.ID]*policyTraffic
	nodes    map[string]*nodeTraffic
}

// policyTraffic is the traffic under one policy.
type policyTraffic struct {
	mu sync.Mutex
	// guarded by mu
	targets map[string]*sum // by destination
}

// nodeTraffic is what is kept of the reports of a node's agents.
type nodeTraffic struct {
	silentFrom atomic.Int64 // the instant at which it counts as silent, unless a report arrives before

	mu sync.Mutex
	// guarded by mu
	agents  map[string]*agentReports // by UID
	all     callRate                 // covers what any report of the node does
	rates   map[*sum]struct{}        // those in which the node has a rate
	counted map[*sum]struct{}        // by the report in progress
	lost    map[*sum]struct{}        // those in which the node has lost breakers
}

// agentID names an agent's pod. Its process is identified by the instance in its reports.
type agentID struct{ node, agent string }

// sum is one destination of one policy.
type sum struct {
	key      trafficKey     // immutable
	of       *policyTraffic // immutable
	madeAt   instant        // immutable
	asOf     atomic.Int64   // an instant
	profiles int            // that have the destination; guarded by traffic.mu

	// guarded by of.mu
	buckets  [bucketsIn]*bucket
	gauges   map[*agentReports]gauge
	lost     map[*nodeTraffic]int       // breakers that were not closed when the last agent of the node went
	closings uint64                     // reports of breakers that are closed again
	rates    map[*nodeTraffic]*callRate // of the nodes with calls in the window
}

// bucket holds the events of one slot of time. It is made when there is something to count.
type bucket struct {
	slot    int64 // time in bucketSpans
	counts  policy.Counts
	latency policy.Latency
	tls     map[string]uint64 // failures by reason, at most policy.MaxTLSFailures
}

func newTraffic() *traffic {
	return &traffic{
		epoch: time.Now().Add(-10 * Window), policies: map[policy.ID]*policyTraffic{}, nodes: map[string]*nodeTraffic{},
		comparisons: comparisons{of: map[policy.ID]*comparison{}},
		findings:    findings{byAgent: map[agentID]podFindings{}, concerned: map[policy.ID]map[agentID]struct{}{}},
	}
}

// at returns the instant of a time that was read from the clock.
func (t *traffic) at(now time.Time) instant { return instant(now.Sub(t.epoch)) }

// addKeys counts one more profile that has the keys, and returns their sums.
func (t *traffic) addKeys(keys []trafficKey) map[trafficKey]*sum {
	now := t.at(time.Now())
	out := make(map[trafficKey]*sum, len(keys))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		if out[k] == nil {
			out[k] = t.sum(k, now)
			out[k].profiles++
		}
	}
	return out
}

// sum returns the sum under a key, which it makes if need be. The caller holds mu.
func (t *traffic) sum(k trafficKey, now instant) *sum {
	p := t.policies[k.policy]
	if p == nil {
		p = &policyTraffic{targets: map[string]*sum{}}
		t.policies[k.policy] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.targets[k.target]
	if s == nil {
		s = &sum{key: k, of: p, madeAt: now, gauges: map[*agentReports]gauge{}, lost: map[*nodeTraffic]int{}, rates: map[*nodeTraffic]*callRate{}}
		p.targets[k.target] = s
	}
	return s
}

// removeKeys reverses addKeys.
func (t *traffic) removeKeys(sums map[trafficKey]*sum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, s := range sums {
		if s.profiles--; s.profiles > 0 {
			continue
		}
		s.of.mu.Lock()
		if delete(s.of.targets, k.target); len(s.of.targets) == 0 {
			delete(t.policies, k.policy)
		}
		s.of.mu.Unlock()
	}
}

// policy returns the traffic of a policy, or nil.
func (t *traffic) policy(id policy.ID) *policyTraffic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.policies[id]
}

// node returns what is kept of a node's reports, or nil.
func (t *traffic) node(name string) *nodeTraffic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.nodes[name]
}

// sweep forgets agents that have been away for longer than they keep reports to send again, and nodes without agents and rates.
func (t *traffic) sweep(now time.Time) {
	at := t.at(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, n := range t.nodes {
		n.mu.Lock()
		n.sweepRates(at)
		maps.DeleteFunc(n.agents, func(_ string, r *agentReports) bool { return r.streams == 0 && at.sub(r.goneAt) > 2*Window })
		if len(n.agents) == 0 {
			n.forgetLost()
		}
		if len(n.agents) == 0 && len(n.rates) == 0 {
			delete(t.nodes, name)
		}
		n.mu.Unlock()
	}
}

// count adds entry to the slot of the time it happened in, unless that has left the window.
func (s *sum) count(end instant, age time.Duration, entry *policy.Traffic) {
	if age >= Window || entry.Counts == (policy.Counts{}) && entry.Latency == (policy.Latency{}) && len(entry.TLSFailures) == 0 {
		return
	}
	slot := end.slot()
	b := s.buckets[slot%bucketsIn]
	switch {
	case b == nil:
		b = &bucket{slot: slot}
		s.buckets[slot%bucketsIn] = b
	case b.slot < slot:
		*b = bucket{slot: slot}
	case b.slot > slot:
		return // a newer slot took its place
	}
	b.counts = b.counts.Plus(entry.Counts)
	b.latency.Add(&entry.Latency)
	for _, f := range entry.TLSFailures {
		b.tls = addFailure(b.tls, f)
	}
}

// reportedUpTo records that a report about the time up to an instant was counted, whether or not there were calls.
func (s *sum) reportedUpTo(end instant) {
	for {
		was := s.asOf.Load()
		if was >= int64(end) || s.asOf.CompareAndSwap(was, int64(end)) {
			return
		}
	}
}
