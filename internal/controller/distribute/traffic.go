package distribute

import (
	"cmp"
	"maps"
	"slices"
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

// Figures are what all agents reported of one policy over the last Window.
type Figures struct {
	Counts  policy.Counts
	Latency policy.Latency
	// BreakersOpen and Connections are the sums of the agents' current gauges.
	BreakersOpen int
	Connections  int
	// Targets splits the figures by destination, sorted by name.
	Targets []TargetFigures
	// AsOf is when an agent last reported on the policy; zero if none did.
	AsOf time.Time
	// PerSecond is the rate of calls on the nodes that report, over as much of the window as their reports cover.
	PerSecond float64
	// Covered is the most of the window that the reports of one node with calls cover. It is short at first: so are Counts.
	Covered time.Duration
	// Uncaptured counts pods of the policy that could not be captured, as far as agents named them; Problems are examples, at
	// most policy.MaxProblems, sorted.
	Uncaptured int
	Problems   []policy.CaptureProblem
}

// TargetFigures are the figures of one destination.
type TargetFigures struct {
	Target       string // as policy.Target.String shows it
	Counts       policy.Counts
	Latency      policy.Latency
	BreakersOpen int
	Connections  int
	PerSecond    float64       // as in Figures
	Covered      time.Duration // as in Figures
}

// traffic sums reports per policy and destination. Only destinations of published profiles are known, and the gauges and problems of an
// agent go when it does, so memory is bounded by what is published and who is connected.
type traffic struct {
	mu sync.Mutex
	// guarded by mu
	sums   map[policy.ID]map[string]*sum // by destination
	agents map[agentID]*reporter
	nodes  map[string]*nodeShares
}

// agentID names an agent process.
type agentID struct{ node, agent string }

// sum is one destination of one policy. Guarded by traffic.mu.
type sum struct {
	known   int // profiles that have the destination
	buckets [bucketsIn]*bucket
	gauges  map[agentID]gauge
	shares  map[string]*share // by node, of those with calls in the window
	madeAt  time.Time
	asOf    time.Time
}

// bucket holds the events of one slot of time. It is made when there is something to count.
type bucket struct {
	slot    int64 // time in bucketSpans
	counts  policy.Counts
	latency policy.Latency
}

type gauge struct{ breakers, connections int }

// reporter is what is remembered of an agent. Guarded by traffic.mu.
type reporter struct {
	streams  int
	problems []policy.CaptureProblem
	gauges   map[trafficKey]struct{} // under which it has gauges
	sequence uint64                  // last counted
	goneAt   time.Time               // when its last stream ended
}

func newTraffic() *traffic {
	return &traffic{sums: map[policy.ID]map[string]*sum{}, agents: map[agentID]*reporter{}, nodes: map[string]*nodeShares{}}
}

// know counts one more profile that has the keys.
func (t *traffic) know(keys map[trafficKey]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range keys {
		targets := t.sums[k.policy]
		if targets == nil {
			targets = map[string]*sum{}
			t.sums[k.policy] = targets
		}
		if targets[k.target] == nil {
			targets[k.target] = &sum{gauges: map[agentID]gauge{}, shares: map[string]*share{}, madeAt: time.Now()}
		}
		targets[k.target].known++
	}
}

// forget reverses know.
func (t *traffic) forget(keys map[trafficKey]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range keys {
		targets := t.sums[k.policy]
		s := targets[k.target]
		if s.known--; s.known > 0 {
			continue
		}
		if delete(targets, k.target); len(targets) == 0 {
			delete(t.sums, k.policy)
		}
	}
}

// join notes that a report stream of the agent began.
func (t *traffic) join(a agentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[a]
	if r == nil {
		r = &reporter{gauges: map[trafficKey]struct{}{}}
		t.agents[a] = r
	}
	r.streams++
}

// leave notes that a report stream of the agent ended, and with the last one drops what was true only while it lasted.
func (t *traffic) leave(a agentID, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[a]
	if r.streams--; r.streams > 0 {
		return
	}
	t.dropGauges(a, r)
	r.problems, r.goneAt = nil, now
}

func (t *traffic) dropGauges(a agentID, r *reporter) {
	for k := range r.gauges {
		if s := t.sums[k.policy][k.target]; s != nil {
			delete(s.gauges, a)
		}
	}
	clear(r.gauges)
}

// sweep forgets agents that have been away for longer than they keep reports to send again.
func (t *traffic) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepShares(now)
	maps.DeleteFunc(t.agents, func(_ agentID, r *reporter) bool { return r.streams == 0 && now.Sub(r.goneAt) > 2*Window })
}

// observation is a report as it arrived.
type observation struct {
	agent    agentID
	sequence uint64
	at       time.Time
	age      time.Duration
	report   *policy.Report
	// allowed says what the agent may speak about.
	allowed map[trafficKey]struct{}
}

// add counts o unless its sequence was counted before.
func (t *traffic) add(o observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.agents[o.agent]
	if r == nil || o.sequence <= r.sequence {
		return
	}
	r.sequence = o.sequence
	t.dropGauges(o.agent, r)
	for i := range o.report.Traffic {
		entry := &o.report.Traffic[i]
		key := trafficKey{entry.Policy, entry.Target}
		if _, ok := o.allowed[key]; !ok {
			continue
		}
		s := t.sums[key.policy][key.target]
		if s == nil {
			continue
		}
		s.count(o.at, o.age, entry)
		if entry.BreakersOpen > 0 || entry.Connections > 0 {
			s.gauges[o.agent] = gauge{breakers: entry.BreakersOpen, connections: entry.Connections}
			r.gauges[key] = struct{}{}
		}
	}
	t.countShares(&o)
	r.problems = allowedProblems(o.report.Problems, o.allowed)
}

func allowedProblems(problems []policy.CaptureProblem, allowed map[trafficKey]struct{}) []policy.CaptureProblem {
	if len(problems) == 0 {
		return nil
	}
	policies := map[policy.ID]struct{}{}
	for k := range allowed {
		policies[k.policy] = struct{}{}
	}
	var out []policy.CaptureProblem
	for _, p := range problems {
		p.Policies = slices.DeleteFunc(slices.Clone(p.Policies), func(id policy.ID) bool {
			_, ok := policies[id]
			return !ok
		})
		if len(p.Policies) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// count adds entry to the slot of the time it happened in, unless that has left the window.
func (s *sum) count(now time.Time, age time.Duration, entry *policy.Traffic) {
	s.asOf = now
	if age >= Window || entry.Counts == (policy.Counts{}) && entry.Latency == (policy.Latency{}) {
		return
	}
	slot := slotOf(now.Add(-age))
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

func slotOf(at time.Time) int64 { return at.UnixNano() / int64(bucketSpan) }

// Traffic returns the figures of a policy.
func (s *Store) Traffic(id policy.ID) Figures {
	return s.traffic.figures(id, time.Now())
}

func (t *traffic) figures(id policy.ID, now time.Time) Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	var f Figures
	targets := t.sums[id]
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		s := targets[name]
		one := s.figures(now)
		one.PerSecond, one.Covered = s.rate(now, t.nodes)
		one.Target = name
		f.Targets = append(f.Targets, one)
		f.Counts = f.Counts.Plus(one.Counts)
		f.Latency.Add(&one.Latency)
		f.BreakersOpen += one.BreakersOpen
		f.Connections += one.Connections
		if s.asOf.After(f.AsOf) {
			f.AsOf = s.asOf
		}
		f.PerSecond += one.PerSecond
		f.Covered = max(f.Covered, one.Covered)
	}
	for _, r := range t.agents {
		for _, p := range r.problems {
			if slices.Contains(p.Policies, id) {
				f.Problems = append(f.Problems, p)
			}
		}
	}
	f.Uncaptured = len(f.Problems)
	slices.SortFunc(f.Problems, func(a, b policy.CaptureProblem) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	f.Problems = f.Problems[:min(len(f.Problems), policy.MaxProblems)]
	return f
}

func (s *sum) figures(now time.Time) TargetFigures {
	var f TargetFigures
	newest := slotOf(now)
	for _, b := range s.buckets {
		if b != nil && b.slot > newest-bucketsIn && b.slot <= newest {
			f.Counts = f.Counts.Plus(b.counts)
			f.Latency.Add(&b.latency)
		}
	}
	for _, g := range s.gauges {
		f.BreakersOpen += g.breakers
		f.Connections += g.connections
	}
	return f
}
