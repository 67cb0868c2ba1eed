package telemetry

import (
	"cmp"
	"math"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// gauges are the present values for one policy's target, summed over its concrete destinations and all pods.
type gauges struct {
	breakers              breakerGauges
	active, idle, waiting int
	opened                openings // by breakers, in total
	ejected               int      // endpoints
	limited               int      // calls that wait for a limit
	running, places       int      // below limits of concurrency
	attemptTimeout        time.Duration
	// of dry runs: how many destinations they keep something of, and their breakers
	shadows, dryBreakersOpen int
	share                    float64 // of limits that the cluster shares
	shared                   bool    // there are any
}

// add adds another target's.
func (g *gauges) add(o *gauges) {
	b := &g.breakers
	b.open, b.halfOpen = b.open+o.breakers.open, b.halfOpen+o.breakers.halfOpen
	b.openAge, b.halfOpenAge = max(b.openAge, o.breakers.openAge), max(b.halfOpenAge, o.breakers.halfOpenAge)
	g.active, g.idle, g.waiting = g.active+o.active, g.idle+o.idle, g.waiting+o.waiting
	g.limited, g.running, g.places = g.limited+o.limited, g.running+o.running, g.places+o.places
	g.share, g.shared = g.share+o.share, g.shared || o.shared
	g.attemptTimeout = max(g.attemptTimeout, o.attemptTimeout)
	g.shadows, g.dryBreakersOpen = g.shadows+o.shadows, g.dryBreakersOpen+o.dryBreakersOpen
	g.ejected += o.ejected
}

// openings counts how often breakers have opened: those of whole destinations, those of endpoints, and those of dry runs.
type openings struct {
	opened    uint64
	ejections [resilience.CauseCount]uint64
	prevented uint64
	dry       uint64
}

// each calls f with every count of o and of another one.
func (o *openings) each(other *openings, f func(a, b *uint64)) {
	f(&o.opened, &other.opened)
	for i := range o.ejections {
		f(&o.ejections[i], &other.ejections[i])
	}
	f(&o.prevented, &other.prevented)
	f(&o.dry, &other.dry)
}

// plus adds another one's.
func (o *openings) plus(other *openings) { o.each(other, func(sum, more *uint64) { *sum += *more }) }

// add adds what the breakers of a destination have counted.
func (o *openings) add(s *routes.Stats) {
	to := &o.opened
	if s.Shadow {
		to = &o.dry
	}
	for _, b := range s.Breakers {
		*to += b.Opened
	}
	for i, n := range s.Ejections {
		o.ejections[i] += n
	}
	o.prevented += s.EjectionsPrevented
}

// readGauges reads the gauges.
func (m *Meter) readGauges(now time.Time) map[recorderKey]*gauges {
	out := map[recorderKey]*gauges{}
	read := m.sources.Load().Stats
	if read == nil {
		return out
	}
	m.reading.Lock()
	defer m.reading.Unlock()
	opens := map[destinationKey]openings{}
	read(now, func(s routes.Stats) {
		k := recorderKey{s.Policy, s.Target}
		g := out[k]
		if g == nil {
			g = &gauges{}
			out[k] = g
		}
		at := destinationKey{k, s.Destination, s.Shadow}
		o := opens[at]
		o.add(&s)
		opens[at] = o
		g.addDestination(now, &s)
	})
	m.countOpens(opens, out)
	return out
}

// addDestination adds how things stand at a destination.
func (g *gauges) addDestination(now time.Time, s *routes.Stats) {
	if s.Shadow {
		g.shadows++
		g.dryBreakersOpen += s.BreakersOpen
		return
	}
	for _, b := range s.Breakers {
		g.breakers.add(now, b)
	}
	g.attemptTimeout = max(g.attemptTimeout, s.AttemptTimeout)
	g.active += s.Pool.Active
	g.idle += s.Pool.Idle
	g.waiting += s.Pool.Waiting
	g.limited += s.LimitWaiting
	g.share, g.shared = g.share+s.Share, g.shared || s.Shared
	g.running += s.Running
	g.places += s.Places
	g.ejected += s.Ejected
}

// countOpens adds how often breakers opened since the gauges were last read. Breakers come and go with pods and policies: a number that
// has fallen is not counted.
func (m *Meter) countOpens(opens map[destinationKey]openings, out map[recorderKey]*gauges) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, n := range opens {
		if r := m.recorders[k.recorderKey]; r != nil {
			before := m.opens[k]
			before.each(&n, func(was, is *uint64) { *was = *is - min(*was, *is) })
			r.opened.plus(&before)
		}
	}
	m.opens = opens
	for k, g := range out {
		if r := m.recorders[k]; r != nil {
			g.opened = r.opened
		}
	}
}

// Report returns what happened since the last one. It returns nothing that is zero, in a fixed order.
func (m *Meter) Report() *policy.Report { return m.reportAt(time.Now()) }

func (m *Meter) reportAt(now time.Time) *policy.Report {
	current := m.readGauges(now)
	r := m.aboutPods(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	since := m.reportedAt
	m.reportedAt = now
	for k, rec := range m.recorders {
		var c counts
		rec.addTo(&c)
		t := policy.Traffic{Policy: k.policy, Target: k.target}
		if g := current[k]; g != nil {
			t.BreakersOpen, t.BreakersHalfOpen, t.BreakerAge = g.breakers.open+g.breakers.halfOpen, g.breakers.halfOpen, g.breakers.age()
			t.Connections, t.Ejected, t.DryBreakersOpen = g.active+g.idle, g.ejected, g.dryBreakersOpen
		}
		t.OpaqueOpen = int(min(c.opaqueOpen(), math.MaxInt32))
		t.Counts, t.Latency = c.since(rec.reported)
		t.TLSFailures = c.tlsFailures(rec.reported)
		t.Counts.DryRun.BreakersOpened = rec.opened.dry - rec.dryReported
		*rec.reported, rec.dryReported = c, rec.opened.dry
		t.Covered = rec.covered(since, now)
		// A call's duration may be counted an instant after the call itself, and so fall into the next report alone.
		if says(&t) {
			r.Traffic = append(r.Traffic, t)
		}
		m.forgetCallers(now, rec)
		m.forget(now, rec, c.events())
	}
	slices.SortFunc(r.Traffic, func(a, b policy.Traffic) int {
		return cmp.Or(cmp.Compare(a.Policy.String(), b.Policy.String()), cmp.Compare(a.Target, b.Target))
	})
	return r
}

// aboutPods returns a report of what is about pods: their captures, and what they call.
func (m *Meter) aboutPods(now time.Time) *policy.Report {
	r := &policy.Report{}
	if m.flows != nil {
		r.Flows = m.flows.Report(now)
	}
	if captures := m.sources.Load().Captures; captures != nil {
		d := captures()
		r.Captured, r.Uncaptured = d.Captured, d.Uncaptured
		r.Problems = d.Problems[:min(len(d.Problems), policy.MaxProblems)]
		r.Notices = d.Notices[:min(len(d.Notices), policy.MaxProblems)]
		r.Older = mostOlder(d.OlderConnections)
	}
	return r
}

// says reports whether there is anything in an entry of a report.
func says(t *policy.Traffic) bool {
	return t.Counts != (policy.Counts{}) || t.Latency != (policy.Latency{}) || t.BreakersOpen > 0 || t.Ejected > 0 || t.Connections > 0 ||
		t.OpaqueOpen > 0 || t.DryBreakersOpen > 0
}

// mostOlder returns what a report has room for: the policies with the most.
func mostOlder(all []Older) []policy.OlderConnections {
	all = slices.Clone(all)
	if len(all) > policy.MaxOlder {
		slices.SortStableFunc(all, func(a, b Older) int { return cmp.Compare(b.Count, a.Count) })
	}
	var out []policy.OlderConnections
	for _, o := range all[:min(len(all), policy.MaxOlder)] {
		out = append(out, policy.OlderConnections{Policy: o.Policy, Connections: o.Count})
	}
	return out
}

// covered returns how much of the time between two reports r has counted for: a policy that comes between them, or whose calls do, has
// only part of it, and a rate over all of it would be too low.
func (r *recorder) covered(since, now time.Time) time.Duration {
	if began := r.epoch.Add(time.Duration(r.began.Load())); began.After(since) {
		since = began
	}
	return max(now.Sub(since), time.Millisecond) // zero would say nothing
}

// since returns the difference between before and c in the form of a report.
func (c *counts) since(before *counts) (policy.Counts, policy.Latency) {
	var n policy.Counts
	for r := range resultCount {
		for f := range call.RetryDecisionCount {
			count(&n, result(r), f, c.ended(result(r), f)-before.ended(result(r), f))
		}
		n.Retries += c.attempts[call.Retry][r] - before.attempts[call.Retry][r]
	}
	n.Truncated = c.brokenSuccesses() - before.brokenSuccesses()
	n.Successes -= n.Truncated
	since := func(total int) uint64 { return c.totals[total] - before.totals[total] }
	n.Opaque, n.OpaqueSent, n.OpaqueReceived = since(opaqueOpened), since(opaqueSent), since(opaqueReceived)
	n.DryRun = c.dryRunSince(before)
	won, wasted := c.hedges[hedgeWon]-before.hedges[hedgeWon], c.hedges[hedgeWasted]-before.hedges[hedgeWasted]
	n.Hedges, n.HedgesWon = won+wasted, won
	for i := range c.fallbacks {
		n.Fallbacks += c.fallbacks[i] - before.fallbacks[i]
	}
	return n, (*latency)(&c.callTook).report((*latency)(&before.callTook))
}

// count adds calls that ended in one way to n. Those whose client left first are among the requests: an upstream so slow that
// every client gives up must not look unused.
func count(n *policy.Counts, r result, f call.RetryDecision, calls uint64) {
	n.Requests += calls
	if good(f) {
		n.Successes += calls
	}
	if to := byDecision(n, f); to != nil {
		*to += calls
	}
	if to := byKind(n, r.kind()); to != nil {
		*to += calls
	}
}

func byDecision(n *policy.Counts, f call.RetryDecision) *uint64 {
	switch f {
	case call.Recovered:
		return &n.RetrySuccesses
	case call.ByMethod:
		return &n.NotRetriedMethod
	case call.NotRetryable, call.AlreadyRetried:
		return &n.NotRetriedNotRetryable
	case call.ByBudget:
		return &n.NotRetriedBudget
	case call.ByDeadline:
		return &n.NotRetriedDeadline
	case call.ByBody:
		return &n.NotRetriedBody
	case call.Exhausted:
		return &n.NotRetriedExhausted
	case call.Abandoned:
		return &n.Abandoned
	case call.NotNeeded, call.Refused, call.RetryDecisionCount:
	}
	return nil
}

func byKind(n *policy.Counts, k call.Kind) *uint64 {
	switch k {
	case call.AttemptTimeout, call.ConnectTimeout, call.Deadline:
		return &n.Timeouts
	case call.Overflow:
		return &n.PoolOverflow
	case call.BreakerOpen:
		return &n.BreakerRejected
	case call.RateLimited:
		return &n.RateLimited
	case call.OK, call.ClientGone, call.Superseded, call.ConnectFailed, call.Reset, call.RefusedStream, call.BadResponse, call.TLSFailed, call.ProxyRefused,
		call.DNSFailed, call.Injected, call.Internal, call.KindCount:
	}
	return nil
}
