package main

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

// span is the time that one point of a curve stands for.
const span = 2 * time.Second

// point is what happened in a span.
type point struct {
	offered  int // calls that began
	good     int // calls that were answered with 200
	rejected int // calls that the agent has rejected: a limit, or an open breaker
	failed   int // other calls: those that ended by a deadline or with 503
	sent     int // attempts that came to the upstream
	queued   int // requests that waited at the upstream at the end
	took     []time.Duration
}

// record is what happened in a run.
type record struct {
	upstream *upstream
	points   []point
}

func newRecord(u *upstream) record {
	r := record{upstream: u, points: make([]point, phases[len(phases)-1].until/span)}
	for i := range r.points {
		u.clock.at(time.Duration(i+1)*span-1, func() { r.points[i].queued = u.queued() })
	}
	return r
}

func (r *record) at(now time.Duration) *point { return &r.points[now/span] }

func (r *record) offered(now time.Duration) { r.at(now).offered++ }

func (r *record) sent(now time.Duration) { r.at(now).sent++ }

func (r *record) ended(now time.Duration, o *call.Outcome) {
	p := r.at(now)
	switch {
	case o.Kind == call.OK && o.Status == statusOK:
		p.good++
		p.took = append(p.took, o.Took)
	case o.Kind == call.RateLimited || o.Kind == call.BreakerOpen:
		p.rejected++
	default:
		p.failed++
	}
}

// between sums what happened from one time to another.
func (r *record) between(from, to time.Duration) point {
	var sum point
	for _, p := range r.points[from/span : to/span] {
		sum.offered += p.offered
		sum.good += p.good
		sum.rejected += p.rejected
		sum.failed += p.failed
		sum.sent += p.sent
		sum.queued = max(sum.queued, p.queued)
		sum.took = append(sum.took, p.took...)
	}
	return sum
}

// quantile is how long that part of the good calls took at most; 0: there was none.
func (p *point) quantile(q float64) time.Duration {
	if len(p.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.took))
	return sorted[int(q*float64(len(sorted)-1))]
}

// perSecond is a count of a span as a rate.
func perSecond(n int) float64 { return float64(n) / span.Seconds() }
