package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// exemplar is one traced call, or one of its attempts, that stands for those that took about as long.
type exemplar struct {
	trace tracing.TraceID
	span  tracing.SpanID
	took  time.Duration
	ended time.Time
}

// exemplarsOf holds the last exemplar of each bucket of a classic histogram; one without a trace is none.
type exemplarsOf [len(classic) + 1]exemplar

// put notes an exemplar in place of the one before.
func (x *exemplarsOf) put(trace tracing.TraceID, span tracing.SpanID, began time.Time, took time.Duration) {
	x[inClassic[bucket(took)]] = exemplar{trace, span, took, began.Add(took)}
}

// shown are the exemplars as Prometheus has them.
func (x *exemplarsOf) shown() (out []prometheus.Exemplar) {
	for _, e := range x {
		if e.trace == (tracing.TraceID{}) {
			continue
		}
		out = append(out, prometheus.Exemplar{
			Value: e.took.Seconds(), Timestamp: e.ended, Labels: prometheus.Labels{"trace_id": e.trace.String(), "span_id": e.span.String()},
		})
	}
	return out
}

// exemplars are those of the histograms of one recorder. Only calls that are traced, which allocate anyway, are noted.
type exemplars struct {
	mu              sync.Mutex
	calls, attempts exemplarsOf // guarded by mu
}

// noteExemplars notes a traced call and its attempts, as far as they are counted in the recorder's histograms.
func (r *recorder) noteExemplars(e *routes.Exchange) {
	x := r.exemplars.Load()
	if x == nil {
		r.exemplars.CompareAndSwap(nil, new(exemplars))
		x = r.exemplars.Load()
	}
	t := e.Trace
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.Outcome.Decision != call.Abandoned {
		x.calls.put(t.ID, t.Span, t.Began, e.Outcome.Took)
	}
	for i := range min(len(e.Attempts), len(t.Attempts)) {
		// Those on another destination are in the histogram of that one.
		if a := &e.Attempts[i]; a.Kind != call.Injected && a.Start != call.FallbackStart {
			x.attempts.put(t.ID, t.Attempts[i].ID, t.Attempts[i].Began, a.Took)
		}
	}
}

// shownExemplars are those of both histograms.
func (r *recorder) shownExemplars() (calls, attempts []prometheus.Exemplar) {
	x := r.exemplars.Load()
	if x == nil {
		return nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.calls.shown(), x.attempts.shown()
}

// withExemplars adds exemplars to a histogram.
func withExemplars(m prometheus.Metric, all []prometheus.Exemplar) prometheus.Metric {
	if len(all) == 0 {
		return m
	}
	return prometheus.MustNewMetricWithExemplars(m, all...)
}
