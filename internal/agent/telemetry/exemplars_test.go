package telemetry

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// tracingMeter has an exporter that sends nothing.
func tracingMeter(t *testing.T) *Meter {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	c, err := spans.ClientFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	e, err := spans.New(spans.Options{Client: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Logger: slog.New(slog.DiscardHandler), Spans: e})
}

// traced is a call that took so long, in the trace that ends with n, whose only attempt took half as long.
func traced(n byte, took time.Duration) *routes.Exchange {
	e := ended(call.OK, call.NotNeeded, 200)
	e.Outcome.Took = took
	e.Attempts = []routes.Attempt{{Kind: call.OK, Status: 200, Took: took / 2}}
	e.Trace = &routes.Trace{
		ID: tracing.TraceID{15: n}, Span: tracing.SpanID{7: n}, Flags: tracing.Sampled, Began: t0,
		Attempts: []routes.Span{{ID: tracing.SpanID{0: 1, 7: n}, Number: 1, Began: t0}},
	}
	return e
}

// shownExemplar is an exemplar as Prometheus gets it.
type shownExemplar struct {
	trace, span string
	seconds     float64
	ended       time.Time
}

// exemplarsShown are the exemplars of a histogram by the bound of their bucket. The native form has the same.
func exemplarsShown(t *testing.T, m *Meter, family string) map[float64]shownExemplar {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(m))
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[float64]shownExemplar{}
	for _, f := range all {
		if f.GetName() != family {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		for _, b := range h.GetBucket() {
			if e := b.GetExemplar(); e != nil {
				of := map[string]string{}
				for _, l := range e.GetLabel() {
					of[l.GetName()] = l.GetValue()
				}
				shown[b.GetUpperBound()] = shownExemplar{of["trace_id"], of["span_id"], e.GetValue(), e.GetTimestamp().AsTime()}
			}
		}
		if len(h.GetExemplars()) != len(shown) {
			t.Errorf("%s: the native form has %d exemplars, the classic one %d", family, len(h.GetExemplars()), len(shown))
		}
	}
	return shown
}

// exemplarOf is the exemplar of a trace and a span, by their first and last bytes.
func exemplarOf(trace, first, last byte, took time.Duration) shownExemplar {
	return shownExemplar{fmt.Sprintf("%032x", trace), fmt.Sprintf("%02x000000000000%02x", first, last), took.Seconds(), t0.Add(took)}
}

// Histograms name a trace for each bucket: the last traced call, and the last attempt.
func TestHistogramsHaveExemplars(t *testing.T) {
	m := tracingMeter(t)
	r := m.Recorder(payments, inventory)
	for _, e := range []*routes.Exchange{
		traced(1, 40*time.Millisecond), traced(2, 30*time.Millisecond), traced(3, 80*time.Second), ended(call.OK, call.NotNeeded, 200),
	} {
		for i := range e.Attempts {
			r.AttemptDone(&e.Attempts[i])
		}
		r.CallDone(e)
	}
	for family, want := range map[string]map[float64]shownExemplar{
		"fairlead_proxy_request_duration_seconds": {0.05: exemplarOf(2, 0, 2, 30*time.Millisecond), math.Inf(1): exemplarOf(3, 0, 3, 80*time.Second)},
		"fairlead_proxy_try_duration_seconds":     {0.025: exemplarOf(2, 1, 2, 15*time.Millisecond), math.Inf(1): exemplarOf(3, 1, 3, 40*time.Second)},
	} {
		if got := exemplarsShown(t, m, family); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", family, got, want)
		}
	}
}

// Who asks for OpenMetrics, as Prometheus does, gets exemplars in the text; others get the text without.
func TestExemplarsAreServed(t *testing.T) {
	m := tracingMeter(t)
	m.Recorder(payments, inventory).CallDone(traced(1, time.Millisecond))
	h, err := Handler(HandlerOptions{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]bool{"application/openmetrics-text; version=1.0.0": true, "": false} {
		r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r)
		if got := strings.Contains(w.Body.String(), `trace_id="00000000000000000000000000000001"`); got != want || w.Code != 200 {
			t.Errorf("Accept %q: %d with exemplars %v, want %v", accept, w.Code, got, want)
		}
	}
}

// What is not counted in a histogram is no exemplar of it: calls whose client left, faults, and attempts on another destination.
func TestWhatIsNotMeasuredIsNoExemplar(t *testing.T) {
	m := tracingMeter(t)
	gone := traced(1, time.Second)
	gone.Outcome.Decision, gone.Attempts[0].Kind = call.Abandoned, call.Injected
	elsewhere := traced(2, time.Millisecond)
	elsewhere.Outcome.Decision, elsewhere.Attempts[0].Start = call.Abandoned, call.FallbackStart
	r := m.Recorder(payments, inventory)
	r.CallDone(gone)
	r.CallDone(elsewhere)
	for _, family := range []string{"fairlead_proxy_request_duration_seconds", "fairlead_proxy_try_duration_seconds"} {
		if got := exemplarsShown(t, m, family); len(got) != 0 {
			t.Errorf("%s: %v", family, got)
		}
	}
}

// Calls that are not traced leave no exemplars and cost no allocation, and those that are cost one when the first one ends.
func TestExemplarsAllocateNothing(t *testing.T) {
	m := tracingMeter(t)
	r := m.Recorder(payments, inventory).(*recorder)
	plain, e := ended(call.OK, call.NotNeeded, 200), traced(1, time.Millisecond)
	if n := testing.AllocsPerRun(100, func() { r.CallDone(plain) }); n != 0 || r.exemplars.Load() != nil {
		t.Errorf("%v allocations for a call that is not traced", n)
	}
	r.noteExemplars(e)
	if n := testing.AllocsPerRun(100, func() { r.noteExemplars(e) }); n != 0 {
		t.Errorf("%v allocations to note a traced call", n)
	}
}

// BenchmarkExemplars is what noting a traced call with one attempt costs.
func BenchmarkExemplars(b *testing.B) {
	r := testMeter().Recorder(payments, inventory).(*recorder)
	e := traced(1, time.Millisecond)
	for b.Loop() {
		r.noteExemplars(e)
	}
}
