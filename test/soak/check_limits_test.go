package soak

import (
	"sort"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// groups are the calls that count together.
func (r *round) groups(scope policy.Sharing) (groups [][]*account) {
	if scope != policy.SharePod {
		return [][]*account{r.accounts}
	}
	groups = make([][]*account, len(r.pods))
	for _, a := range r.accounts {
		groups[a.pod] = append(groups[a.pod], a)
	}
	return groups
}

// checkRate: of the calls that began at some time or later, servers have seen by any other no more than the burst and what the rate has let in since.
// Each of them has passed the limit between the two, so this is exact.
func (r *round) checkRate() {
	l := r.fixed.rate
	if l == nil {
		return
	}
	for _, calls := range r.groups(l.Scope) {
		sort.Slice(calls, func(i, j int) bool { return calls[i].begun.Before(calls[j].begun) })
		for from := 0; from < len(calls); from += 1 + len(calls)/100 {
			r.checkRateFrom(l, calls[from].begun, calls[from:])
		}
	}
}

func (r *round) checkRateFrom(l *policy.RateLimit, from time.Time, calls []*account) {
	var seen []time.Time
	for _, a := range calls {
		if len(a.receipts) > 0 && a.sends == 1 && !a.receipts[0].backed {
			seen = append(seen, a.receipts[0].at)
		}
	}
	sort.Slice(seen, func(i, j int) bool { return seen[i].Before(seen[j]) })
	for i, at := range seen {
		r.covers("a rate was compared")
		rate, burst := r.fixed.startable()
		allowed := burst + rate*at.Sub(from).Seconds()
		if float64(i+1) > allowed*float64(1+r.restarts)+1e-6 { // an agent that has restarted begins with a burst
			r.violation("%d calls passed the limit of %v/s, burst %v, in %v", i+1, rate, burst, at.Sub(from))
			return
		}
	}
}

// checkConcurrency: at no time more calls are for certain under way than the limit allows. A call whose client got its response as a whole was under way
// from when a server saw it to when the server wrote the last of that response.
func (r *round) checkConcurrency() {
	l := r.fixed.concurrency
	if l == nil {
		return
	}
	_, most := r.fixed.places()
	for _, calls := range r.groups(l.Scope) {
		r.checkPlaces(most*(1+r.restarts), calls) // an agent that has restarted begins with all places
	}
}

func (r *round) checkPlaces(places int, calls []*account) {
	var edges []edge
	for _, a := range calls {
		if !a.whole || a.answer < 0 || a.sends != 1 {
			continue
		}
		for _, p := range a.receipts {
			if p.attempt == a.answer && p.whole && !p.backed {
				edges = append(edges, edge{a, a.receipts[0].at, true}, edge{a, p.last, false})
			}
		}
	}
	sort.Slice(edges, func(i, j int) bool { return edges[i].at.Before(edges[j].at) })
	under := map[*account]bool{}
	for _, e := range edges {
		if !e.begins {
			delete(under, e.call)
			continue
		}
		under[e.call] = true
		if len(under) == places {
			r.covers("all places of a limit were taken")
		}
		if len(under) > places {
			r.violation("%s", r.describeAll(under, "%d calls were under way at once, the limit is %d", len(under), places))
			return
		}
	}
}

// edge is when a call began or ended.
type edge struct {
	call   *account
	at     time.Time
	begins bool
}
