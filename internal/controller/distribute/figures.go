package distribute

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Figures are what all agents reported of one policy over the last Window.
type Figures struct {
	Counts  policy.Counts
	Latency policy.Latency
	// Breakers, Connections and OpaqueOpen are the sums of the agents' current gauges.
	Breakers    Breakers
	Connections int
	OpaqueOpen  int
	// DryBreakersOpen counts breakers that a dry run would have open.
	DryBreakersOpen int
	// Ejected adds up those of the destinations.
	Ejected int
	// Targets splits the figures by destination, sorted by name.
	Targets []TargetFigures
	// AsOf is when the last report of an agent that has the policy was made, zero if there was none, and Age is how long ago that was,
	// whatever happened to the clock. A report without an entry for the policy means that nothing happened under it.
	AsOf time.Time
	Age  time.Duration
	// PerSecond is the rate of calls on the nodes that report, over as much of the window as their reports cover.
	PerSecond float64
	// Covered is the most of the window that the reports of one node with calls cover. It is short at first: so are Counts.
	Covered time.Duration
	// Uncaptured counts pods of the policy that could not be captured, as far as agents named them; Problems are examples, at
	// most policy.MaxProblems, sorted. Notices are of pods that are captured.
	Uncaptured int
	Problems   []policy.CaptureProblem
	Notices    []policy.CaptureProblem
	// OlderConnections counts the connections that would be governed if they were not older than the policy.
	OlderConnections int
}

// TargetFigures are the figures of one destination.
type TargetFigures struct {
	Target      string // as policy.Target.String shows it
	Counts      policy.Counts
	Latency     policy.Latency
	Breakers    Breakers
	Connections int
	OpaqueOpen  int
	Ejected     int // endpoints that are kept out, by the agent that keeps out the most
	// DryBreakersOpen is as in Figures.
	DryBreakersOpen int
	TLSFailures     []policy.TLSFailure // sorted by reason
	PerSecond       float64             // as in Figures
	Covered         time.Duration       // as in Figures
}

// Add adds a destination.
func (f *Figures) Add(t *TargetFigures) {
	f.Targets = append(f.Targets, *t)
	f.Counts = f.Counts.Plus(t.Counts)
	f.Latency.Add(&t.Latency)
	f.Breakers = f.Breakers.Plus(t.Breakers)
	f.Connections += t.Connections
	f.OpaqueOpen += t.OpaqueOpen
	f.DryBreakersOpen += t.DryBreakersOpen
	f.Ejected += t.Ejected
	f.PerSecond += t.PerSecond
	f.Covered = max(f.Covered, t.Covered)
}

// Breakers counts circuit breakers that are not closed.
type Breakers struct {
	Open, HalfOpen int
	// For is how long the worst state has lasted: since the first of the open ones opened, or, if none is open, since the first of the
	// half-open ones began to probe.
	For time.Duration
	// Lost counts those that were not closed when the last agent of their node went. They are counted until an agent of the node reports
	// again, or for as long as an agent may take to come back.
	Lost int
	// Closings counts reports of breakers that are closed again. It never goes down while the destination is known.
	Closings uint64
}

// Plus returns the sums of b and o.
func (b Breakers) Plus(o Breakers) Breakers {
	sum := Breakers{Open: b.Open + o.Open, HalfOpen: b.HalfOpen + o.HalfOpen, Lost: b.Lost + o.Lost, Closings: b.Closings + o.Closings}
	for _, one := range []Breakers{b, o} {
		if one.Open > 0 || sum.Open == 0 {
			sum.For = max(sum.For, one.For)
		}
	}
	return sum
}

// Traffic returns the figures of a policy.
func (s *Store) Traffic(id policy.ID) Figures {
	return s.traffic.figures(id, time.Now())
}

func (t *traffic) figures(id policy.ID, now time.Time) Figures {
	at := t.at(now)
	var f Figures
	if p := t.policy(id); p != nil {
		asOf := p.addTo(&f, at)
		if asOf > 0 {
			f.Age = at.sub(asOf)
			f.AsOf = now.Add(-f.Age)
		}
	}
	t.findings.addTo(&f, id)
	return f
}

// addTo adds the policy's destinations to f, and returns up to when there are reports of any.
func (p *policyTraffic) addTo(f *Figures, at instant) instant {
	var asOf instant
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.targets)) {
		s := p.targets[name]
		one := s.figures(at)
		one.PerSecond, one.Covered = s.rate(at)
		one.Target = name
		f.Add(&one)
		asOf = max(asOf, instant(s.asOf.Load()))
	}
	return asOf
}

func appendOf(to, from []policy.CaptureProblem, id policy.ID) []policy.CaptureProblem {
	for _, p := range from {
		if slices.Contains(p.Policies, id) {
			to = append(to, p)
		}
	}
	return to
}

func bounded(list []policy.CaptureProblem) []policy.CaptureProblem {
	slices.SortFunc(list, func(a, b policy.CaptureProblem) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Reason, b.Reason))
	})
	return list[:min(len(list), policy.MaxProblems)]
}

func (s *sum) figures(now instant) TargetFigures {
	var f TargetFigures
	var tls map[string]uint64
	newest := now.slot()
	for _, b := range s.buckets {
		if b != nil && b.slot > newest-bucketsIn && b.slot <= newest {
			f.Counts = f.Counts.Plus(b.counts)
			f.Latency.Add(&b.latency)
			for reason, count := range b.tls {
				tls = addFailure(tls, policy.TLSFailure{Reason: reason, Count: count})
			}
		}
	}
	f.TLSFailures = failuresIn(tls)
	for _, g := range s.gauges {
		b := Breakers{Open: g.open, HalfOpen: g.halfOpen}
		if g.state() > 0 {
			b.For = now.sub(g.since)
		}
		f.Breakers = f.Breakers.Plus(b)
		f.Connections += g.connections
		f.OpaqueOpen += g.opaque
		f.DryBreakersOpen += g.dryOpen
		f.Ejected = max(f.Ejected, g.ejected)
	}
	f.Breakers.Closings = s.closings
	for _, n := range s.lost {
		f.Breakers.Lost += n
	}
	return f
}
