package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
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
		c.descs[i] = prometheus.NewDesc(f.name, f.help, f.labels, nil)
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
	out := scrape{collector: c, to: to}
	out.process()
	m := c.meter
	current := m.readGauges(time.Now())
	shown, rest := m.divide(current)
	for k, g := range current {
		out.gauges(k.policy.String(), k.target, g)
	}
	for _, r := range shown {
		var sums counts
		r.addTo(&sums)
		out.counts(r.key.policy.String(), r.key.target, &sums)
	}
	out.put(overflowTargets, float64(rest.targets))
	if rest.any {
		out.gauges(overflowLabel, overflowLabel, &rest.gauges)
		out.counts(overflowLabel, overflowLabel, &rest.counts)
	}
}

// scrape is one collection under way.
type scrape struct {
	collector *Collector
	to        chan<- prometheus.Metric
}

// put shows one value. Everything that was never counted is left out where it has labels beyond the policy's.
func (s *scrape) put(family int, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(s.collector.descs[family], catalogue[family].kind, v, labels...)
}

func (s *scrape) putSeen(family int, n uint64, labels ...string) {
	if n > 0 {
		s.put(family, float64(n), labels...)
	}
}

// process shows what belongs to no policy.
func (s *scrape) process() {
	m := s.collector.meter
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
	}
	if m.spans != nil {
		sent := m.spans.Stats()
		s.put(tracedSpans, float64(sent.Exported), "exported")
		s.put(tracedSpans, float64(sent.Dropped), "dropped")
		s.put(tracedSpans, float64(sent.Failed), "failed")
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

func (s *scrape) gauges(id, target string, g *gauges) {
	if g.shadows > 0 || g.opened.dry > 0 {
		s.put(dryRunBreakersOpen, float64(g.dryBreakersOpen), id, target)
		s.put(dryRunBreakersOpened, float64(g.opened.dry), id, target)
	}
	s.put(connections, float64(g.active), id, target, "active")
	s.put(connections, float64(g.idle), id, target, "idle")
	s.put(waiting, float64(g.waiting), id, target)
	s.put(limitWaiting, float64(g.limited), id, target)
	s.put(concurrencyRunning, float64(g.running), id, target)
	s.put(concurrencyLimit, float64(g.places), id, target)
	if g.shared {
		s.put(limitShare, g.share, id, target)
	}
	if g.attemptTimeout > 0 {
		s.put(attemptTimeout, g.attemptTimeout.Seconds(), id, target)
	}
	s.put(breakersOpen, float64(g.breakers.open+g.breakers.halfOpen), id, target)
	s.put(breakersHalfOpen, float64(g.breakers.halfOpen), id, target)
	s.put(breakersOpened, float64(g.opened.opened), id, target)
	s.put(endpointsEjected, float64(g.ejected), id, target)
	for why, n := range g.opened.ejections {
		s.putSeen(ejections, n, id, target, resilience.Cause(why).String())
	}
	s.putSeen(ejectionsPrevented, g.opened.prevented, id, target)
}

func (s *scrape) counts(id, target string, c *counts) {
	var byDecision [call.RetryDecisionCount]uint64
	for r := range c.calls {
		var n uint64
		for f, calls := range c.calls[r] {
			n += calls
			byDecision[f] += calls
		}
		s.putSeen(requests, n, id, target, result(r).kind().String(), result(r).code())
	}
	for f, n := range byDecision {
		s.putSeen(retryDecisions, n, id, target, call.RetryDecision(f).String())
	}
	for start := range c.attempts {
		for r, n := range c.attempts[start] {
			s.putSeen(attempts, n, id, target, result(r).kind().String(), result(r).code(), call.Start(start).String())
		}
	}
	s.put(truncated, float64(c.truncated), id, target)
	s.details(id, target, c)
	s.put(opaque, float64(c.opaque), id, target)
	s.put(opaqueOpen, float64(c.opaqueOpen()), id, target)
	s.put(opaqueBytes, float64(c.sent), id, target, "sent")
	s.put(opaqueBytes, float64(c.received), id, target, "received")
	s.histograms(id, target, c)
}

// details shows what does not happen under every policy.
func (s *scrape) details(id, target string, c *counts) {
	for i, n := range c.fallbacks {
		s.putSeen(fallbacks, n, id, target, call.FallbackAnswer(i).String())
	}
	for i, n := range c.hedges {
		s.putSeen(hedges, n, id, target, hedgeNames[i])
	}
	for i, n := range c.grpc {
		s.putSeen(grpcCalls, n, id, target, grpcLabel(i))
	}
	for i, n := range c.tls {
		s.putSeen(tlsFailures, n, id, target, tlsReasons[i].label)
	}
	for i, n := range c.dryRun {
		s.putSeen(dryRunDecisions, n, id, target, call.Would(i).String())
	}
	for i, n := range c.handshakes {
		s.putSeen(handshakes, n, id, target, routes.Handshake(i).String())
	}
}

func (s *scrape) histograms(id, target string, c *counts) {
	s.to <- newTimings(s.collector.descs[requestDuration], &c.callTook, c.callNanos, id, target)
	s.to <- newTimings(s.collector.descs[tryDuration], &c.tryTook, c.tryNanos, id, target)
	if n, upTo := cumulative(&c.tunnels); n > 0 {
		s.to <- prometheus.MustNewConstHistogram(s.collector.descs[tunnelDuration], n, time.Duration(c.tunnelled).Seconds(), upTo, id, target)
	}
}
