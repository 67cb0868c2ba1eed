package soak

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// checkRefusals: a limit refuses no call that it has room for. A share of a cluster's limit is smaller until the agent has got it, which is not checked.
func (r *round) checkRefusals() {
	if l := r.fixed.rate; l != nil && l.Scope != policy.ShareCluster {
		for _, calls := range r.groups(l.Scope) {
			r.checkRefusedByRate(l, calls)
		}
	}
	if l := r.fixed.concurrency; l != nil {
		for _, calls := range r.groups(l.Scope) {
			r.checkRefusedPlaces(l, calls)
		}
	}
}

// atOnce is how long it takes at most to refuse a call that has not stood in line. It may take longer: then it counts as one that has.
const atOnce = 5 * time.Millisecond

// stood reports whether a call that was refused may have stood in line for a token, ahead of others: those that came to be ahead of it, of another pod, may
// have had it miss its deadline.
func (a *account) stood(l *policy.RateLimit) bool { return a.waited(min(l.MaxWait, atOnce)) }

// waited reports whether a call that was refused may have stood in line for it.
func (a *account) waited(longest time.Duration) bool {
	return longest > 0 && a.head.Sub(a.begun) >= longest
}

// leaving is how long it may take until the agent finds out that a client has left that does not wait for its answer: it looks now and then.
const leaving = 500 * time.Millisecond

// gone is when the agent knows of the end of a call at the latest.
func (r *round) gone(a *account) time.Time {
	late := tolerance
	if a.abandoned() {
		late += leaving
	}
	return a.ended.Add(late + r.lag.during(a.ended, a.ended.Add(late)))
}

// checkRefusedByRate: if a bucket is found empty, then from some moment on as many calls may have taken of it as it had then and has got since. Calls that wait
// will take of it.
func (r *round) checkRefusedByRate(l *policy.RateLimit, calls []*account) {
	var begun, until []time.Time // of the calls that may have taken a token, in order
	for _, a := range calls {
		if a.reason == "rate_limited" && !a.stood(l) && a.sends == 1 {
			continue
		}
		last := r.gone(a)
		if len(a.receipts) > 0 && a.sends == 1 {
			last = a.receipts[0].at
		}
		for range max(a.sends, 1) {
			begun, until = append(begun, a.begun), append(until, last)
		}
	}
	slices.SortFunc(begun, time.Time.Compare)
	slices.SortFunc(until, time.Time.Compare)
	for _, a := range calls {
		if a.reason == "rate_limited" {
			r.covers("a refusal by a rate had to have a cause")
		}
		if a.reason != "rate_limited" || a.sends != 1 {
			continue
		}
		wait := l.MaxWait // rule 3: a wait that does not fit into the deadline is none
		if shortest, _ := bounds(r.possible(a), overall); shortest > 0 {
			wait = min(wait, shortest)
		}
		if !emptied(l, wait, a, begun, until) {
			r.doubt(a, "the limit of %d in %v, burst %d, waits of %v, refused it and was not used up", l.Requests, l.Per, l.Burst, wait)
			return
		}
	}
}

// emptied reports whether the bucket may have been empty for a call that may wait for so long.
func emptied(l *policy.RateLimit, wait time.Duration, a *account, begun, until []time.Time) bool {
	later, _ := slices.BinarySearchFunc(begun, a.head.Add(1), time.Time.Compare)
	own := len(begun) - later // that came after it
	if a.stood(l) {
		own++
	}
	rate := float64(l.Requests) / l.Per.Seconds()
	for i := len(until) - 1; i >= 0; i-- {
		had := float64(l.Burst) + rate*(max(a.begun.Sub(until[i]), 0)+wait).Seconds()
		if float64(len(until)-i-own) > had-1.01 {
			return true
		}
	}
	return l.Burst < 1
}

// checkRefusedPlaces: if there is no place, then as many other calls may have been under way, and as many as may wait have waited unless the call has done so itself.
func (r *round) checkRefusedPlaces(l *policy.Concurrency, calls []*account) {
	gone := make([]time.Time, len(calls))
	for i, a := range calls {
		gone[i] = r.gone(a)
	}
	for _, a := range calls {
		if a.reason != "rate_limited" || a.sends != 1 {
			continue
		}
		r.covers("a refusal for want of places had to have a cause")
		need, _ := r.fixed.places()
		if !a.waited(l.MaxWait) {
			need += l.MaxQueued
		}
		others := 0
		for i, o := range calls {
			refused := o.reason == "rate_limited" && l.MaxQueued == 0 && o.sends == 1
			if o != a && !refused && !o.begun.After(a.head) && !gone[i].Before(a.begun) {
				others += max(o.sends, 1)
			}
		}
		if others < need {
			r.doubt(a, "the limit of %d calls at once and %d that wait refused it, and at most %d others were there", need, l.MaxQueued, others)
			return
		}
	}
}
