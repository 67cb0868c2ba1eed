package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/otlp"
	"fairlead.dev/fairlead/internal/policy"
)

// Collector shows what a Meter counted to Prometheus.
type Collector struct {
	// immutable
	meter *Meter
	descs [familyCount]*prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector of m.
func NewCollector(m *Meter) *Collector {
	c := &Collector{meter: m}
	for i, f := range catalogue {
		c.descs[i] = prometheus.NewDesc(f.name, f.help, f.labelsOf(m.callers), nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	out := &scrape{c, to}
	out.process()
	m := c.meter
	current := m.readGauges(time.Now())
	shown, rest := m.divide(current)
	for k, g := range current {
		out.row(k.policy.String(), k.target, policy.Caller{}).gauges(g)
	}
	for _, r := range shown {
		var own counts
		r.addOwn(&own)
		of := out.row(r.key.policy.String(), r.key.target, r.caller)
		of.calls, of.attempts = r.shownExemplars()
		of.counts(&own, r.target == nil)
	}
	out.put(overflowTargets, float64(rest.targets))
	if rest.any {
		together := out.row(overflowLabel, overflowLabel, policy.Caller{})
		together.gauges(&rest.gauges)
		together.counts(&rest.counts, true)
	}
}

// scrape is one collection under way.
type scrape struct {
	*Collector
	to chan<- prometheus.Metric
}

// row shows what belongs to one target of a policy, or to one of its callers.
type row struct {
	*scrape
	labels []string // those of its scope, the policy and the target first

	calls, attempts []prometheus.Exemplar // of its histograms
}

// row returns what shows a target's, or a caller's; the zero Caller stands for those that are shown together, where callers are counted apart. It
// is in no namespace, so that no other one is called as it is.
func (s *scrape) row(id, target string, caller policy.Caller) row {
	r := row{scrape: s, labels: []string{id, target}}
	switch {
	case !s.meter.callers:
	case caller == policy.Caller{}:
		r.labels = append(r.labels, "", overflowLabel)
	default:
		r.labels = append(r.labels, caller.Namespace, caller.Workload)
	}
	return r
}

// put shows one value.
func (r row) put(family int, v float64, labels ...string) {
	scope := r.labels
	if catalogue[family].scope == ofTarget {
		scope = scope[:2]
	}
	r.scrape.put(family, v, slices.Concat(scope, labels)...)
}

// putSeen shows what has been counted at all.
func (r row) putSeen(family int, n uint64, labels ...string) {
	if n > 0 {
		r.put(family, float64(n), labels...)
	}
}

// put shows one value.
func (s *scrape) put(family int, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(s.descs[family], catalogue[family].kind, v, labels...)
}

// sent shows what has become of what was to go to a collector.
func (s *scrape) sent(family int, of otlp.Stats) {
	s.put(family, float64(of.Exported), "exported")
	s.put(family, float64(of.Dropped), "dropped")
	s.put(family, float64(of.Failed), "failed")
}

// process shows what belongs to no policy.
func (s *scrape) process() {
	m := s.meter
	closed := m.closed.Load() // first: there are never more closed than opened
	opened := m.opened.Load()
	s.put(captured, float64(opened-closed))
	s.put(capturedTotal, float64(opened))
	for why := range m.passed {
		s.put(passed, float64(m.passed[why].Load()), proxy.Passed(why).String())
	}
	for i := range m.malformed {
		s.put(malformed, float64(m.malformed[i].Load()), malformedCodes[i])
	}
	for from := range m.floods {
		for f := range m.floods[from] {
			s.put(floods, float64(m.floods[from][f].Load()), drive.Side(from).String(), drive.Flood(f).String())
		}
	}
	s.put(panics, float64(m.panics.Load()))
	if l := m.log; l != nil {
		s.put(accessLog, float64(l.written.Load()), "written")
		s.put(accessLog, float64(l.dropped.Load()), "dropped")
		if l.exporter != nil {
			s.sent(exportedLines, l.exporter.Stats())
		}
	}
	if m.spans != nil {
		s.sent(tracedSpans, m.spans.Stats())
	}
	sources := m.sources.Load()
	if r := sources.Replay; r != nil {
		s.put(replayBytes, float64(r.Used()))
		s.put(replayCapped, float64(r.Capped()))
	}
	if sources.Captures != nil {
		s.captures(sources.Captures())
	}
}

// captures shows which pods are captured.
func (s *scrape) captures(d CaptureState) {
	s.put(loops, float64(d.Loops))
	s.put(cut, float64(d.Cut))
	s.put(podsCaptured, float64(d.Captured))
	s.put(podsUncaptured, float64(d.Uncaptured))
	s.put(podsShedding, float64(d.Shedding))
	s.put(shedConnections, float64(d.Refused), "refused")
	s.put(shedConnections, float64(d.Shed), "cut")
	for _, o := range d.OlderConnections {
		s.put(olderConnections, float64(o.Count), o.Policy.String())
	}
}

func (r row) gauges(g *gauges) {
	if g.shadows > 0 || g.opened.dry > 0 {
		r.put(dryRunBreakersOpen, float64(g.dryBreakersOpen))
		r.put(dryRunBreakersOpened, float64(g.opened.dry))
	}
	r.put(connections, float64(g.active), "active")
	r.put(connections, float64(g.idle), "idle")
	r.put(waiting, float64(g.waiting))
	r.put(limitWaiting, float64(g.limited))
	r.put(concurrencyRunning, float64(g.running))
	r.put(concurrencyLimit, float64(g.places))
	if g.shared {
		r.put(limitShare, g.share)
	}
	if g.attemptTimeout > 0 {
		r.put(attemptTimeout, g.attemptTimeout.Seconds())
	}
	r.put(breakersOpen, float64(g.breakers.open+g.breakers.halfOpen))
	r.put(breakersHalfOpen, float64(g.breakers.halfOpen))
	r.put(breakersOpened, float64(g.opened.opened))
	r.put(endpointsEjected, float64(g.ejected))
	for why, n := range g.opened.ejections {
		r.putSeen(ejections, n, resilience.Cause(why).String())
	}
	r.putSeen(ejectionsPrevented, g.opened.prevented)
}

// counts shows what was counted for all callers of a target, or for one.
func (r row) counts(c *counts, all bool) {
	for i, n := range c.dryRun {
		r.putSeen(dryRunDecisions, n, call.Would(i).String())
	}
	c.dryRun = [call.WouldCount]uint64{}
	if r.meter.callers && all && c.events() == 0 {
		return // all its callers are shown by themselves
	}
	var byDecision [call.RetryDecisionCount]uint64
	for how := range result(resultCount) {
		var n uint64
		for f := range call.RetryDecisionCount {
			calls := c.ended(how, f)
			n += calls
			byDecision[f] += calls
		}
		r.putSeen(requests, n, how.kind().String(), how.code())
	}
	for f, n := range byDecision {
		r.putSeen(retryDecisions, n, call.RetryDecision(f).String())
	}
	for start := range c.attempts {
		for how, n := range c.attempts[start] {
			r.putSeen(attempts, n, result(how).kind().String(), result(how).code(), call.Start(start).String())
		}
	}
	r.put(truncated, float64(c.totals[brokenOff]))
	r.details(c)
	r.put(opaque, float64(c.totals[opaqueOpened]))
	r.put(opaqueOpen, float64(c.opaqueOpen()))
	r.put(opaqueBytes, float64(c.totals[opaqueSent]), "sent")
	r.put(opaqueBytes, float64(c.totals[opaqueReceived]), "received")
	r.histograms(c)
}

// details shows what does not happen under every policy.
func (r row) details(c *counts) {
	for i, n := range c.fallbacks {
		r.putSeen(fallbacks, n, call.FallbackAnswer(i).String())
	}
	for i, n := range c.hedges {
		r.putSeen(hedges, n, hedgeNames[i])
	}
	for i, n := range c.faults {
		r.putSeen(faults, n, faultNames[i])
	}
	for i, n := range c.grpc {
		r.putSeen(grpcCalls, n, grpcLabel(i))
	}
	for i, n := range c.tls {
		r.putSeen(tlsFailures, n, tlsReasons[i].label)
	}
	for i, n := range c.handshakes {
		r.putSeen(handshakes, n, routes.Handshake(i).String())
	}
}

func (r row) histograms(c *counts) {
	r.to <- withExemplars(newTimings(r.descs[requestDuration], (*latency)(&c.callTook), c.totals[callNanos], r.labels...), r.calls)
	r.to <- withExemplars(newTimings(r.descs[tryDuration], (*latency)(&c.tryTook), c.totals[tryNanos], r.labels...), r.attempts)
	if n, upTo := cumulative(&c.tunnels); n > 0 {
		r.to <- prometheus.MustNewConstHistogram(r.descs[tunnelDuration], n, time.Duration(c.totals[tunnelNanos]).Seconds(), upTo, r.labels...)
	}
}
