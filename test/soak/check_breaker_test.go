package soak

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A circuit is seen from outside: it is not closed while it rejects a call. What an attempt has come to counts at some time between two moments that are known,
// so that the checker finds only what is wrong whatever the order was in.

// span is when something has happened: not before one moment, and not after another.
type span struct{ from, to time.Time }

func (s span) meets(from, to time.Time) bool { return !s.to.Before(from) && !s.from.After(to) }

// circuit is what is known of the calls that one circuit counts together.
type circuit struct {
	round    *round
	breaker  *policy.Breaker
	calls    []*account
	failures []span     // that may have counted, by their beginnings
	slow     []span     // attempts that may have counted as slow, by their beginnings
	results  []span     // all attempts, by their beginnings
	closing  []span     // successes that may have counted, by their beginnings
	quiet    []span     // calls that have succeeded for certain, and nothing else can have counted meanwhile, by their ends
	rejected []*account // by their ends
}

// checkBreaker: each time that a circuit opens as many failures in a row have come before as the policy says, it stays open for as long, and when it is half-open
// no more calls pass than it says.
func (r *round) checkBreaker() {
	b := r.fixed.breaker
	if b == nil || r.restarts > 0 || r.fixed.ill || r.fixed.kind == kindForced || r.cluster != nil {
		return
	}
	for _, calls := range r.groups(b.Sharing) {
		c := &circuit{round: r, breaker: b, calls: calls}
		c.collect()
		c.checkOpenings()
		c.checkProbes()
		c.checkOpens()
	}
}

// shortest is how long the circuit stays open at least.
func (c *circuit) shortest() time.Duration {
	return c.breaker.OpenDuration * time.Duration(100-c.breaker.OpenJitterPercent) / 100
}

func (c *circuit) collect() {
	var well []span
	for _, a := range c.calls {
		gone := c.round.gone(a)
		if a.reason == "circuit_open" {
			c.rejected = append(c.rejected, a)
		}
		for _, p := range a.receipts {
			c.results = append(c.results, span{p.at, gone})
			if p.failed() || !p.clean() {
				c.failures = append(c.failures, span{p.at, gone})
			}
			if l := c.breaker.SlowCalls; l != nil && gone.Sub(a.begun) > l.Threshold {
				c.slow = append(c.slow, span{p.at, gone})
			}
			if p.maySucceed(a) {
				c.closing = append(c.closing, span{p.mayCount(), gone})
			}
		}
		if a.well() {
			well = append(well, span{a.begun, gone})
		}
	}
	unseen := c.unseen()
	c.failures, c.results = append(c.failures, unseen...), append(c.results, unseen...)
	for _, list := range [][]span{c.failures, c.slow, c.closing, c.results} {
		slices.SortFunc(list, func(x, y span) int { return x.from.Compare(y.from) })
	}
	slices.SortFunc(c.rejected, func(x, y *account) int { return x.ended.Compare(y.ended) })
	for _, s := range well {
		meets := func(bad span) bool { return bad.meets(s.from, s.to) }
		if !slices.ContainsFunc(c.failures, meets) && !slices.ContainsFunc(c.slow, meets) {
			c.quiet = append(c.quiet, s)
		}
	}
	slices.SortFunc(c.quiet, func(x, y span) int { return x.to.Compare(y.to) })
}

// unseen are failures that no server has seen: of requests on connections of HTTP/2 that broke before they were read.
func (c *circuit) unseen() (list []span) {
	broken := map[*brittleConn]bool{}
	for _, a := range c.round.accounts {
		for _, p := range a.receipts {
			if a.http2 && !p.conn.brokenAt().IsZero() {
				broken[p.conn] = true
			}
		}
	}
	for conn := range broken {
		for _, a := range c.calls {
			if at := conn.brokenAt(); a.http2 && (span{a.begun, c.round.gone(a)}).meets(at, at) {
				list = append(list, span{at.Round(0), c.round.gone(a)})
			}
		}
	}
	return list
}

// well reports whether a call has succeeded for certain, and by its only attempt.
func (a *account) well() bool {
	return a.sends == 1 && len(a.receipts) == 1 && a.receipts[0].clean() && a.receipts[0].step.status == 200 &&
		a.err == nil && a.whole && a.status == 200 && a.code == 0 && a.answer == 0
}

// mayCount is when a success may count at the earliest.
func (r *receipt) mayCount() time.Time {
	if r.answers.After(r.at) {
		return r.answers
	}
	return r.at
}

// maySucceed reports whether an attempt may count as a success.
func (r *receipt) maySucceed(a *account) bool {
	if r.step.fault == abort || r.step.fault == breakEarly {
		return false
	}
	if a.rpc { // a probe has succeeded with the first message, whatever status follows
		return r.step.message() || rpcStatus(r.step.status) != 14
	}
	return r.step.status < 500 || r.step.status == 501 // which is no error of the server's to a breaker
}

// checkOpenings: a circuit is known to be closed when a call has succeeded while no failure can have counted. If it rejects a call later, it has opened since.
func (c *circuit) checkOpenings() {
	opens := map[time.Time]time.Time{} // by the moment since which failures count
	for _, a := range c.rejected {
		var since time.Time
		for _, s := range c.quiet {
			if s.to.Before(a.begun) && c.breaker.SuccessesToClose == 1 {
				since = s.to
			}
		}
		c.round.covers("an open circuit had to have a cause")
		at, known := opens[since]
		if !known {
			if at = c.earliest(since); c.breaker.ConsecutiveFailures == 0 {
				at = c.earliestByWindow(since, a.ended)
			}
			opens[since] = at
		}
		if at.IsZero() || at.After(a.ended) {
			few := c.breaker.ConsecutiveFailures > 0 && c.meet(c.failures, time.Time{}, a.ended) < c.breaker.ConsecutiveFailures // in a row or not
			c.round.blameUnless(!few, a, "the circuit was open before %d attempts in a row had failed, or %+v, or %+v", c.breaker.ConsecutiveFailures, c.breaker.ErrorRate, c.breaker.SlowCalls)
			return
		}
		if !known && !c.staysOpen(a, at) {
			return
		}
	}
}

// earliest is the first moment at which so many failures can have come in a row since another; zero: there is none.
func (c *circuit) earliest(since time.Time) time.Time {
	for _, last := range c.failures {
		if last.to.Before(since) {
			continue
		}
		at := last.from
		if at.Before(since) {
			at = since
		}
		from := since // of the latest run that ends then
		for _, a := range c.calls {
			if a.well() && c.round.gone(a).Before(at) && a.receipts[0].at.After(from) {
				from = a.receipts[0].at
			}
		}
		n := 0
		for _, f := range c.failures {
			if f.meets(from, at) {
				n++
			}
		}
		if n >= c.breaker.ConsecutiveFailures {
			return at
		}
	}
	return time.Time{}
}

// staysOpen: a call that begins after a rejection does not pass before the circuit can have been open for long enough.
func (c *circuit) staysOpen(rejected *account, opens time.Time) bool {
	for _, a := range c.calls {
		if !a.begun.After(rejected.ended) || len(a.receipts) == 0 || a.sends != 1 {
			continue
		}
		if open := a.receipts[0].at.Sub(opens); open < c.shortest() {
			c.round.doubt(a, "a server saw it %v after the circuit can have opened at the earliest; it stays open for %v at least", open, c.shortest())
			return false
		}
	}
	return true
}

// checkProbes: from a rejection until a success can have counted the circuit is open or half-open: it lets as many calls pass as are probes, and as many again each
// time that it was open for long enough in between, or that a probe was overdue, which is not sooner.
func (c *circuit) checkProbes() {
	for i, a := range c.rejected {
		if i > 0 && a.begun.Sub(c.rejected[i-1].begun) < time.Millisecond && i%8 != 0 {
			continue // they come in crowds
		}
		end := time.Time{}
		for _, s := range c.closing {
			if !s.to.Before(a.begun) {
				end = s.from
				break
			}
		}
		if !end.IsZero() && !end.After(a.ended) {
			continue
		}
		if !c.fewPass(a, end) {
			return
		}
	}
}

// fewPass checks the calls that began after a rejection, up to a moment; zero: all of them.
func (c *circuit) fewPass(rejected *account, end time.Time) bool {
	var seen []time.Time
	for _, a := range c.calls {
		if !a.begun.After(rejected.ended) || len(a.receipts) == 0 || a.sends != 1 || a.abandoned() || c.hedged(a) {
			continue
		}
		if at := a.receipts[0].at; end.IsZero() || at.Before(end) {
			seen = append(seen, at)
		}
	}
	slices.SortFunc(seen, time.Time.Compare)
	for i, at := range seen {
		periods := 1 + int(at.Sub(rejected.begun)/c.shortest())
		if i+1 > c.breaker.Probes*periods {
			c.round.doubt(rejected, "after it was rejected %d calls passed in %v, in which nothing can have closed the circuit; %d probes may pass at once, and it stays open for %v",
				i+1, at.Sub(rejected.ended), c.breaker.Probes, c.shortest())
			return false
		}
	}
	return true
}

// hedged reports whether a call may have been hedged: an attempt that is given up makes room for another.
func (c *circuit) hedged(a *account) bool {
	return slices.ContainsFunc(c.round.possible(a), func(v *version) bool { return v.settings.Retry.Hedging.Max > 0 })
}
