package soak

import (
	"slices"
	"time"
)

// earliestByWindow is the first moment since another, and until a third, at which a window of time can have seen as much as opens the circuit; zero: there is none.
func (c *circuit) earliestByWindow(since, until time.Time) time.Time {
	bad, percent, minimum, window := c.slow, 0, 0, time.Duration(0)
	if e := c.breaker.ErrorRate; e != nil {
		bad, percent, minimum, window = c.failures, e.Percent, e.MinimumRequests, e.Window
	} else if l := c.breaker.SlowCalls; l != nil {
		percent, minimum, window = l.Percent, l.MinimumRequests, l.Window
	}
	need := max((percent*minimum+99)/100, 1)
	for _, last := range c.results {
		at := last.from
		if at.Before(since) {
			at = since
		}
		if last.to.Before(since) || at.After(until) {
			continue
		}
		from := at.Add(-window - window/10) // rule 23
		if c.meet(bad, from, at) >= need && c.meet(c.results, from, at) >= minimum {
			return at
		}
	}
	return time.Time{}
}

func (c *circuit) meet(list []span, from, to time.Time) (n int) {
	for _, s := range list {
		if s.from.After(to) {
			break
		}
		if s.meets(from, to) {
			n++
		}
	}
	return n
}

// checkOpens: when as many calls have failed for certain as open the circuit, and no success can have counted since the first of them began, the circuit has
// opened since then: for some time no other call passes.
func (c *circuit) checkOpens() {
	n := c.breaker.ConsecutiveFailures
	if n == 0 {
		return
	}
	var failed []*account
	for _, a := range c.calls {
		if a.failedForCertain() && !c.hedged(a) {
			failed = append(failed, a)
		}
	}
	slices.SortFunc(failed, func(x, y *account) int { return x.begun.Compare(y.begun) })
	for i := range max(0, len(failed)-n+1) {
		from, to := failed[i].begun, time.Time{}
		for _, a := range failed[i : i+n] {
			if gone := c.round.gone(a); gone.After(to) {
				to = gone
			}
		}
		over := from.Add(c.shortest())
		mayClose := func(s span) bool { return s.meets(from, to) }
		if n == 1 && c.breaker.Probes == 1 {
			mayClose = func(span) bool { return false } // each failure opens it, whatever else comes to pass
		}
		if !to.Before(over) || slices.ContainsFunc(c.closing, mayClose) {
			continue
		}
		c.round.covers("a circuit had to open")
		for _, a := range c.calls {
			if a.begun.After(to) && a.sends == 1 && len(a.receipts) > 0 && a.receipts[0].at.Before(over) {
				c.round.doubt(a, "it passed though %d attempts in a row had failed until %v before it began, the first %v before; the circuit stays open for %v",
					n, a.begun.Sub(to), a.begun.Sub(from), c.shortest())
				return
			}
		}
	}
}

// failedForCertain reports whether a call has failed by its only attempt, in a way that breakers count, and its client has seen that.
func (a *account) failedForCertain() bool {
	if a.sends != 1 || len(a.receipts) != 1 || a.err != nil || !a.whole || a.reason != "" || a.answer != 0 {
		return false
	}
	p := a.receipts[0]
	return p.whole && p.step.fault == noFault && p.step.status >= 500 && p.conn.brokenAt().IsZero()
}
