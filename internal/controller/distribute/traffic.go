package distribute

import (
	"maps"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// Window is the time that Figures cover.
	Window = time.Minute
	// bucketSpan is the window's resolution, the interval of reports.
	bucketSpan = 5 * time.Second
	bucketsIn  = int64(Window / bucketSpan)
)

// moment is a point in time of this process: the time since traffic.epoch by the monotonic clock. Reports are placed and ordered by it
// alone: neither an agent's clock nor the manager's being set changes what is counted when. Zero is never.
type moment time.Duration

func (m moment) sub(o moment) time.Duration { return time.Duration(m - o) }
func (m moment) add(d time.Duration) moment { return m + moment(d) }
func (m moment) slot() int64                { return int64(m) / int64(bucketSpan) }

// traffic sums reports per policy and destination. Only destinations of published profiles are known, and the gauges and problems of an
// agent go when it does, so memory is bounded by what is published and who is connected.
type traffic struct {
	epoch time.Time // immutable; long before the first moment that is asked about

	mu sync.Mutex
	// guarded by mu
	sums   map[policy.ID]map[string]*sum // by destination
	agents map[agentID]*agentReports
	// concerned has the agents that said something of the pods of a policy: problems, notices or older connections.
	concerned map[policy.ID]map[agentID]struct{}
	nodes     map[string]*nodeRates
}

// agentID names an agent's pod. Its process is told by the instance in its reports.
type agentID struct{ node, agent string }

// sum is one destination of one policy. Guarded by traffic.mu.
type sum struct {
	profiles   int // profiles that have the destination
	buckets [bucketsIn]*bucket
	gauges  map[agentID]gauge
	rates  map[string]*callRate // by node, of those with calls in the window
	madeAt  moment
	asOf    moment
}

// bucket holds the events of one slot of time. It is made when there is something to count.
type bucket struct {
	slot    int64 // time in bucketSpans
	counts  policy.Counts
	latency policy.Latency
}

func newTraffic() *traffic {
	return &traffic{
		epoch: time.Now().Add(-10 * Window), sums: map[policy.ID]map[string]*sum{}, agents: map[agentID]*agentReports{},
		concerned: map[policy.ID]map[agentID]struct{}{}, nodes: map[string]*nodeRates{},
	}
}

// at returns the moment of a time that was read from the clock.
func (t *traffic) at(now time.Time) moment { return moment(now.Sub(t.epoch)) }

// addKeys counts one more profile that has the keys.
func (t *traffic) addKeys(keys map[trafficKey]struct{}) {
	now := t.at(time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range keys {
		targets := t.sums[k.policy]
		if targets == nil {
			targets = map[string]*sum{}
			t.sums[k.policy] = targets
		}
		if targets[k.target] == nil {
			targets[k.target] = &sum{gauges: map[agentID]gauge{}, rates: map[string]*callRate{}, madeAt: now}
		}
		targets[k.target].profiles++
	}
}

// removeKeys reverses know.
func (t *traffic) removeKeys(keys map[trafficKey]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range keys {
		targets := t.sums[k.policy]
		s := targets[k.target]
		if s.profiles--; s.profiles > 0 {
			continue
		}
		if delete(targets, k.target); len(targets) == 0 {
			delete(t.sums, k.policy)
		}
	}
}

// sweep forgets agents that have been away for longer than they keep reports to send again.
func (t *traffic) sweep(now time.Time) {
	at := t.at(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepRates(at)
	maps.DeleteFunc(t.agents, func(_ agentID, r *agentReports) bool { return r.streams == 0 && at.sub(r.goneAt) > 2*Window })
}

// observation is a report as it arrived.
type observation struct {
	agent              agentID
	instance, sequence uint64
	at                 moment
	age                time.Duration
	report             *policy.Report
	// allowed and policies are what the agent is heard on; policies are set if the report says something of pods.
	allowed  map[trafficKey]struct{}
	policies policySet
}

// end is when the time ended that the report is about.
func (o *observation) end() moment { return o.at.add(-o.age) }

// add counts o unless its sequence was counted before, and returns the policies of which it says something that somebody waits for.
func (t *traffic) add(o *observation) policySet {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[o.agent]
	if r == nil || !r.first(o.instance, o.sequence) {
		return nil
	}
	before := t.takeGauges(o.agent, r)
	for i := range o.report.Traffic {
		entry := &o.report.Traffic[i]
		key := trafficKey{entry.Policy, entry.Target}
		if s := t.allowed(o, key); s != nil {
			s.count(o.end(), o.age, entry)
			if g := gaugeOf(o, entry, before[key]); g != (gauge{}) {
				s.gauges[o.agent] = g
				r.gauges[key] = struct{}{}
			}
		}
	}
	changed := t.changedGauges(o.agent, r, before)
	// A destination that the report does not speak of had no calls.
	for key := range o.allowed {
		if s := t.sums[key.policy][key.target]; s != nil {
			s.asOf = max(s.asOf, o.end())
		}
	}
	t.countRates(o)
	return t.setFindings(o.agent, r, podFindingsOf(o.report, o.policies), changed)
}

// allowed returns the sum of a destination that the agent may speak about, or nil.
func (t *traffic) allowed(o *observation, key trafficKey) *sum {
	if _, ok := o.allowed[key]; !ok {
		return nil
	}
	return t.sums[key.policy][key.target]
}

// count adds entry to the slot of the time it happened in, unless that has left the window.
func (s *sum) count(end moment, age time.Duration, entry *policy.Traffic) {
	if age >= Window || entry.Counts == (policy.Counts{}) && entry.Latency == (policy.Latency{}) {
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
		return // a newer slot took the place
	}
	b.counts = b.counts.Plus(entry.Counts)
	b.latency.Add(&entry.Latency)
}
