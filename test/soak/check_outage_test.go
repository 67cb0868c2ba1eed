package soak

import (
	"slices"
	"time"
)

// checkOutage: while all servers fail, a circuit that has opened stays open: probes pass alone, as many at once as the policy says, and when one has
// failed none for as long as the circuit stays open then, which is twice as long as before. Once servers are back it closes.
//
// A server sees a probe after it was let through, and has not answered it before it is counted, so nothing here depends on how late the machine is.
func (r *round) checkOutage() {
	if r.fixed.kind != kindOutage {
		return
	}
	for _, calls := range r.groups(r.fixed.breaker.Sharing) {
		c := &circuit{round: r, breaker: r.fixed.breaker, calls: calls}
		if opened := c.openSince(); !opened.IsZero() {
			probes := c.probesSince(opened)
			c.checkAtOnce(probes)
			c.checkReopens(probes)
		}
		c.checkRecovers()
	}
}

// openSince is when a circuit has opened for certain, and not closed: as many calls have failed as open it since the last success can have counted. Zero: never.
func (c *circuit) openSince() time.Time {
	var lastGood time.Time
	for _, a := range c.calls {
		for _, p := range a.receipts {
			if gone := c.round.gone(a); !p.down && p.at.Before(c.round.outage.to) && gone.After(lastGood) {
				lastGood = gone
			}
		}
	}
	var ends []time.Time
	for _, a := range c.calls {
		for _, p := range a.receipts {
			if p.down && p.at.After(lastGood) && a.err == nil && a.whole && a.sends == 1 {
				ends = append(ends, a.ended)
			}
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	if n := c.breaker.ConsecutiveFailures; len(ends) >= n {
		return ends[n-1]
	}
	return time.Time{}
}

// probe is an attempt that was let through a circuit that was half-open.
type probe struct {
	call *account
	*receipt
	depth int // of how many probes it is the last, of which each began when the one before had failed
}

// probesSince are the probes of the calls that began when the circuit was open, in order.
func (c *circuit) probesSince(opened time.Time) (list []*probe) {
	back := time.Time{}
	for _, a := range c.calls {
		for _, p := range a.receipts {
			if !p.down && p.at.After(c.round.outage.to) && (back.IsZero() || p.mayCount().Before(back)) {
				back = p.mayCount()
			}
		}
	}
	for _, a := range c.calls {
		if !a.begun.After(opened) || a.sends != 1 || len(a.receipts) == 0 {
			continue
		}
		if p := a.receipts[0]; p.down && (back.IsZero() || p.at.Before(back)) {
			list = append(list, &probe{call: a, receipt: p})
		}
	}
	slices.SortFunc(list, func(x, y *probe) int { return x.at.Compare(y.at) })
	return list
}

// checkAtOnce: as many are under way at once as may be. One that takes longer than the circuit stays open keeps no other out, be it before a server has seen it.
func (c *circuit) checkAtOnce(probes []*probe) {
	for i, p := range probes {
		others := map[*account]bool{p.call: true}
		for _, before := range probes[:i] {
			ends := before.call.begun.Add(c.breaker.OpenDuration)
			if !before.answers.IsZero() && before.answers.Before(ends) {
				ends = before.answers
			}
			if ends.After(p.at) && p.call.begun.Add(c.breaker.OpenDuration).After(before.at) {
				others[before.call] = true
			}
		}
		c.round.covers("probes were counted that were under way")
		if len(others) > c.breaker.Probes {
			c.round.suspicion("%s", c.round.describeAll(others, "%d probes were under way at once, %d may be", len(others), c.breaker.Probes))
			return
		}
	}
}

// checkReopens: a probe that has failed is followed by none for as long as the circuit stays open.
func (c *circuit) checkReopens(probes []*probe) {
	for i, p := range probes {
		var last *probe
		for _, before := range probes[:i] {
			if !before.call.ended.Before(p.call.begun) {
				continue
			}
			if last == nil || before.depth > last.depth || before.depth == last.depth && before.answers.Before(last.answers) { // of several at once the first has it open
				last = before
			}
		}
		if last == nil {
			p.depth = 1
			continue
		}
		p.depth = last.depth + 1
		period := time.Duration(0)
		for range p.depth {
			period = c.breaker.NextOpen(period)
		}
		least := period * time.Duration(100-c.breaker.OpenJitterPercent) / 100
		c.round.covers("a circuit had to open again")
		if open := p.at.Sub(last.answers); open < least {
			c.round.doubt(p.call, "a server saw it %v after probe %d had failed; the circuit stays open for %v at least", open, last.depth, least)
			return
		}
	}
}

// checkRecovers: once as many calls have succeeded as close the circuit, none is rejected; and that happens.
func (c *circuit) checkRecovers() {
	var ends []time.Time
	last, failing := time.Time{}, c.round.outage.to
	for _, a := range c.calls {
		for _, p := range a.receipts {
			if gone := c.round.gone(a); p.down && gone.After(failing) {
				failing = gone
			}
		}
	}
	for _, a := range c.calls {
		if a.begun.After(failing) && a.well() {
			ends = append(ends, c.round.gone(a))
		}
		if a.begun.After(last) {
			last = a.begun
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	longest := c.breaker.LongestOpen() * time.Duration(100+c.breaker.OpenJitterPercent) / 100
	late := c.round.lag.during(failing, last)
	if len(ends) < c.breaker.SuccessesToClose {
		if left := last.Sub(failing); left > longest+300*time.Millisecond+late {
			c.round.suspicion("%d calls succeeded in %v since all servers were back; the circuit stays open for %v at most", len(ends), left, longest)
		}
		return
	}
	closed := ends[c.breaker.SuccessesToClose-1]
	c.round.covers("a circuit had to close")
	for _, a := range c.calls {
		if a.reason == "circuit_open" && a.begun.After(closed) {
			c.round.doubt(a, "it was rejected %v after the circuit must have closed", a.begun.Sub(closed))
			return
		}
	}
}
