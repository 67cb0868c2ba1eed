package soak

import (
	"sort"
	"time"
)

// checkEjection: a server that fails each call is left alone once it has failed as many as the policy says, for as long as it says. Its endpoint is not the
// last one, and the others are well.
func (r *round) checkEjection() {
	if !r.fixed.ill || r.restarts > 0 {
		return
	}
	for _, calls := range r.groups(r.fixed.breaker.Sharing) {
		if from, to, out := r.ejected(calls); out {
			r.covers("an endpoint had to be left alone")
			r.checkLeftAlone(calls, from, to)
		}
	}
}

// ejected returns a time in which the endpoint is out for certain: from when as many calls have failed there whose results counted, until the earliest
// moment at which its time can be over.
func (r *round) ejected(calls []*account) (from, to time.Time, out bool) {
	var all, sure []time.Time
	for _, a := range calls {
		for _, p := range a.receipts {
			if !p.ill || p.answered.IsZero() {
				continue
			}
			if all = append(all, p.at); a.err == nil && a.sends == 1 && p.whole { // its client has waited for what came of it
				sure = append(sure, a.ended)
			}
		}
	}
	b := r.fixed.breaker
	n := b.ConsecutiveFailures
	if len(sure) < n {
		return from, to, false
	}
	for _, times := range [][]time.Time{all, sure} {
		sort.Slice(times, func(i, j int) bool { return times[i].Before(times[j]) })
	}
	from, to = sure[n-1], all[n-1].Add(b.OpenDuration*time.Duration(100-b.OpenJitterPercent)/100)
	return from, to, from.Before(to)
}

// checkLeftAlone: of the calls that began in that time none came to the server.
func (r *round) checkLeftAlone(calls []*account, from, to time.Time) {
	for _, a := range calls {
		if a.begun.Before(from) {
			continue
		}
		for _, p := range a.receipts {
			if p.ill && p.at.Before(to) {
				r.blame(a, "it came to an endpoint %v after that was out for certain, and %v before its time was over", p.at.Sub(from), to.Sub(p.at))
			}
		}
	}
}
