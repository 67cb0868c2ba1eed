package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/test/monitoring"
)

// busyMeter has everything to show that there is.
func busyMeter(t *testing.T) *Meter {
	t.Helper()
	l, err := NewAccessLog(AccessLogOptions{Writer: &bytes.Buffer{}, Exporter: lineExporter(t)})
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{Logger: slog.New(slog.DiscardHandler), AccessLog: l, Spans: tracingMeter(t).spans})
	m.Watch(Sources{
		Replay: resilience.NewMemory(1), Captures: func() CaptureState { return CaptureState{OlderConnections: []Older{{payments, 1}}} },
		Stats: func(_ time.Time, f func(routes.Stats)) {
			f(routes.Stats{Policy: payments, Target: inventory, Shadow: true})
			f(routes.Stats{
				Policy: payments, Target: inventory, AttemptTimeout: time.Second, Share: 1, Shared: true,
				Ejections: [resilience.CauseCount]uint64{resilience.FailedProbe: 1}, EjectionsPrevented: 1,
			})
		},
	})
	return m
}

// TestPrometheusShowsWhatAgentsCount: a Prometheus scrapes the page, evaluates every rule, and has an answer to each query of the dashboards that is
// about agents; and exemplars lead to traces.
func TestPrometheusShowsWhatAgentsCount(t *testing.T) {
	m := busyMeter(t)
	h, err := Handler(HandlerOptions{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(h)
	t.Cleanup(page.Close)
	p := monitoring.Start(t, 100*time.Millisecond,
		"scrape_configs: [{job_name: fairlead-agent, static_configs: [{targets: ['"+strings.TrimPrefix(page.URL, "http://")+"']}]}]\n")
	queries := slices.DeleteFunc(monitoring.Queries(t), monitoring.Query.OfManager)
	if len(queries) < 60 {
		t.Fatalf("%d queries", len(queries))
	}
	r := m.Recorder(payments, inventory)
	monitoring.Await(t, func() error {
		exercise(r)
		r.OpaqueOpened()
		e := traced(7, time.Millisecond)
		e.Trace.Began = time.Now()
		r.CallDone(e)
		for _, q := range queries {
			if err := p.Shows(q); err != nil {
				return err
			}
		}
		if n, err := p.Rules(); err != nil || n < 15 {
			return fmt.Errorf("%d rules: %w", n, err)
		}
		if found, err := p.Exemplars("fairlead_proxy_request_duration_seconds_bucket"); err != nil || len(found) == 0 || !strings.HasSuffix(found[0], "07") {
			return errors.Join(fmt.Errorf("exemplars lead to %v", found), err)
		}
		return nil
	})
}
