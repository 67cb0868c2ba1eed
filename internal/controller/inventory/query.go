package inventory

import (
	"cmp"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Query says what is asked for. The zero value of a field means all.
type Query struct {
	// Since is how far back it goes.
	Since time.Duration
	// Step is how much time each of Row.Points is about; 0: there are none.
	Step time.Duration
	// TotalPoints: of the points there are those of Answer.Total alone.
	TotalPoints bool
	// Limit is how many rows there are at most; 0: no limit.
	Limit int
	// Wants chooses flows; nil: all.
	Wants func(policy.Flow) bool
}

// Answer is what was asked for.
type Answer struct {
	// From and To are the time that it is about: whole slots, the latest of which has ended, and none before the first report.
	From, To time.Time
	// Rows are the flows that are wanted, those with the most calls first; LeftOut counts those beyond the limit, and LeftOutCounts what they are.
	Rows          []Row
	LeftOut       int
	LeftOutCounts policy.FlowCounts
	// Total is what all flows that are wanted sum up to, those beyond the limit too.
	Total Sum
	// Other is what is not kept apart.
	Other Sum
	// Points begin at From, each Step later than the one before; Total and Other have some too.
	Step time.Duration
}

// Row is one flow.
type Row struct {
	Flow policy.Flow // without counts
	Sum
}

// Sum is what was counted.
type Sum struct {
	Counts  policy.FlowCounts
	Latency policy.Latency
	Points  []Point
}

// Point is what was counted in one step.
type Point struct {
	Counts  policy.FlowCounts
	Latency policy.Latency
}

// span is the time of an answer in slots: after from, up to to.
type span struct {
	from, to, step int64
}

func (s *span) has(slot int64) bool { return slot > s.from && slot <= s.to }

// points is how many points there are.
func (s *span) points() int {
	if s.step == 0 {
		return 0
	}
	return int((s.to - s.from + s.step - 1) / s.step)
}

// add adds a slot.
func (s *span) add(to *Sum, slot int64, c *counts) {
	if !s.has(slot) {
		return
	}
	to.Counts = to.Counts.Plus(c.FlowCounts)
	to.Latency.Add(&c.took)
	n := s.points()
	if n == 0 {
		return
	}
	if to.Points == nil {
		to.Points = make([]Point, n)
	}
	p := &to.Points[(slot-s.from-1)/s.step]
	p.Counts = p.Counts.Plus(c.FlowCounts)
	p.Latency.Add(&c.took)
}

// Ask answers a query.
func (s *Store) Ask(now time.Time, q Query) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	over := span{to: s.slot - 1, step: int64(q.Step / Slot)}
	over.from = max(over.to-int64(min(max(q.Since, Slot), Kept)/Slot), min(s.first-1, over.to), 0)
	a := Answer{From: s.begin(over.from + 1), To: s.begin(over.to + 1), Step: time.Duration(over.step) * Slot}
	rows := over
	if q.TotalPoints {
		rows.step = 0
	}
	for _, f := range s.flows {
		r := Row{Flow: policy.Flow{
			Caller: f.key.caller, Policy: f.key.policy, Target: f.key.target, Destination: f.key.destination, Protocol: f.key.protocol, Address: f.address,
		}}
		if q.Wants != nil && !q.Wants(r.Flow) {
			continue
		}
		f.past.each(func(slot int64, c *counts) {
			rows.add(&r.Sum, slot, c)
			over.add(&a.Total, slot, c)
		})
		if r.Counts.Calls > 0 {
			a.Rows = append(a.Rows, r)
		}
	}
	for i := range s.other {
		over.add(&a.Other, s.other[i].slot, &s.other[i].counts)
	}
	a.limit(q.Limit)
	return a
}

// begin returns when a slot begins.
func (s *Store) begin(slot int64) time.Time { return s.epoch.Add(time.Duration(slot) * Slot) }

// limit sorts the rows and leaves out those beyond a limit.
func (a *Answer) limit(most int) {
	slices.SortFunc(a.Rows, func(x, y Row) int {
		return cmp.Or(cmp.Compare(y.Counts.Calls, x.Counts.Calls), x.Flow.Compare(&y.Flow))
	})
	if most == 0 || len(a.Rows) <= most {
		return
	}
	for i := range a.Rows[most:] {
		a.LeftOut++
		a.LeftOutCounts = a.LeftOutCounts.Plus(a.Rows[most+i].Counts)
	}
	a.Rows = a.Rows[:most]
}
